"""Small differences between an example's question and a new one, carried over to the example's statement.

Where the new question says `smallest` for the example's `largest`, the statement looks for the other end; `total` for
`average` sums up; `how many` for `which` counts; `do not border` for `border` takes all but those of the example; the
name of another column of the same table puts that column in the place of the example's; a word that examples always say
with a condition that has no words of its own (`major rivers`) brings it or takes it away.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from sqlglot import exp

from services.sql.examples import cues
from services.sql.examples.domains import Domains, Named
from services.sql.examples.examples import ExampleIndex, Prepared, naming_column, prepared
from services.sql.examples.sketch import Names, Ref, Sketch, literals
from services.sql.language.phrases import QUIET, Word, words_of
from services.sql.language.words import split_name, stem

# Words have to go with a column this surely to stand for it.
_STRONG = 0.35
# A word brings a condition where so much of its examples have it, and so many.
_ALWAYS = 0.7
_TWICE = 2
_OPPOSITES = (
    "biggest smallest", "biggest fewest", "most fewest", "most least", "highest lowest", "longest shortest",
    "max min", "oldest youngest", "first last", "earliest latest", "cheapest expensive", "best worst", "more fewer",
    "more less", "desc asc", "tallest shortest", "high low", "heaviest lightest", "newest oldest", "top bottom",
)  # fmt: skip
_OPPOSITE: dict[str, set[str]] = defaultdict(set)
for _pair in _OPPOSITES:
    _left, _right = map(stem, _pair.split())
    _OPPOSITE[_left].add(_right)
    _OPPOSITE[_right].add(_left)
_FLIPPED: dict[type[exp.Expr], type[exp.Expr]] = {exp.Max: exp.Min, exp.Min: exp.Max}
_COUNTING = words_of("how many")
_AGGREGATES: dict[str, type[exp.AggFunc]] = {
    "avg": exp.Avg, "total": exp.Sum, "sum": exp.Sum, "combined": exp.Sum, "max": exp.Max, "min": exp.Min,
}  # fmt: skip
_LEADING = frozenset({"what", "which", "show", "name", "is", "are", "the", "all", "me", "of", "was", "were", "us"})


class Edits:
    """Variants of examples for new questions.

    Args:
        index: The examples.
        domains: The database's.
    """

    def __init__(self, index: ExampleIndex, domains: Domains) -> None:
        self._index = index
        self._domains = domains
        self._columns: dict[str, list[tuple[frozenset[str], str]]] = {
            table.name.lower(): [
                (frozenset(map(stem, split_name(column.name))), column.name.lower()) for column in table.columns
            ]
            for table in index.schema.tables
        }
        self._naming: dict[str, str] = {}
        self._nouns: dict[str, frozenset[str]] = {}
        for table in index.schema.tables:
            column = naming_column(table)
            if column is not None:
                self._naming[table.name.lower()] = column.lower()
                self._nouns[table.name.lower()] = frozenset(map(stem, split_name(table.name)))
        self._conditions = self._unsaid()

    def variants(
        self, item: Prepared, words: Sequence[Word], named: Sequence[Named], whole: bool = True
    ) -> list[Prepared]:
        """Examples that say what the question says where they differ a little; none where they do not.

        Args:
            item: The example.
            words: The question.
            named: The values that it names.
            whole: Whether they are a whole question, so that `how many` may be missing.
        """
        found: list[Prepared] = []
        current = item
        other = self._table(item, words, named)
        if other is not None:
            found.append(other)
            current = other
        steps: list[Callable[[Prepared, Sequence[Word]], Prepared | None]] = [
            self._opposite, self._aggregate, self._column, self._condition_dropped, self._condition_added,
            self._negated,
        ]  # fmt: skip
        if whole:
            steps.append(self._counted)
        for step in steps:
            changed = step(current, words)
            if changed is not None:
                found.append(changed)
                current = changed
        return found

    def _made(self, item: Prepared, words: Sequence[Word], tree: exp.Query) -> Prepared:
        return prepared(item.example, tuple(words), tree, self._index.schema)

    def _opposite(self, item: Prepared, words: Sequence[Word]) -> Prepared | None:
        """`smallest` for `largest`."""
        mine, theirs = {word.stem for word in words}, {word.stem for word in item.words}
        for at, word in enumerate(item.words):
            for other in _OPPOSITE.get(word.stem, ()):
                if other in mine and other not in theirs and word.stem not in mine:
                    tree = self._flipped(item, word, other)
                    new = next(entry for entry in words if entry.stem == other)
                    if tree is None:
                        return None
                    return self._made(item, [*item.words[:at], new, *item.words[at + 1 :]], tree)
        return None

    def _flipped(self, item: Prepared, word: Word, other: str) -> exp.Query | None:
        tree = item.tree.copy()
        names = Names(self._index.schema, tree)
        changed = False
        renamed: set[str] = set()
        for column in list(tree.find_all(exp.Column)):
            table, name = names.ref(column)
            parts = list(map(stem, split_name(name)))
            if word.stem in parts:
                wanted = frozenset(other if part == word.stem else part for part in parts)
                found = next((own for own_parts, own in self._columns.get(table, ()) if own_parts == wanted), None)
                if found is not None:
                    column.set("this", exp.to_identifier(found))
                    renamed.add(found)
                    changed = True
        # The highest of `highest_elevation` becomes the lowest of `lowest_elevation`: one word said both.
        extremes = [
            node
            for node in tree.find_all(*_FLIPPED)
            if not renamed or any(column.name in renamed for column in node.find_all(exp.Column))
        ]
        for node in extremes:
            node.replace(_FLIPPED[type(node)](this=node.this.copy()))
            changed = True
        for ordered in tree.find_all(exp.Ordered):
            ordered.set("desc", not ordered.args.get("desc"))
            changed = True
        return tree if changed else None

    def _aggregate(self, item: Prepared, words: Sequence[Word]) -> Prepared | None:
        """`total` for `average`."""
        mine, theirs = {word.stem for word in words}, {word.stem for word in item.words}
        new = next((word for word in words if word.stem in _AGGREGATES and word.stem not in theirs), None)
        at = next((n for n, w in enumerate(item.words) if w.stem in _AGGREGATES and w.stem not in mine), None)
        if new is None or at is None:
            return None
        tree = item.tree.copy()
        found = [node for node in tree.find_all(_AGGREGATES[item.words[at].stem]) if isinstance(node.parent, exp.Expr)]
        if len(found) != 1:
            return None
        found[0].replace(_AGGREGATES[new.stem](this=found[0].this.copy()))
        return self._made(item, [*item.words[:at], new, *item.words[at + 1 :]], tree)

    def _negated(self, item: Prepared, words: Sequence[Word]) -> Prepared | None:
        """`do not border`: all that there are but those of the example."""
        at = next((number for number, word in enumerate(words) if cues.denies([word])), None)
        shown, tree = item.shown, item.tree
        if at is None or shown is None or cues.denies(item.words):
            return None
        if tree.find(exp.AggFunc, exp.Order, exp.Limit, exp.Group, exp.Not) is not None:
            return None
        mine = {word.stem for word in words}
        ref = Names(self._index.schema, tree).ref(shown)
        for table, column in self._naming.items():
            if self._nouns[table] <= mine and self._domains.same(frozenset({(table, column)}), frozenset({ref})):
                inner = tree.copy()
                assert isinstance(inner, exp.Select)
                inner.where(exp.Not(this=exp.Is(this=shown.copy(), expression=exp.Null())), copy=False)
                own = exp.column(column, table=table)
                inside = exp.Not(this=exp.In(this=own, query=inner.subquery()))
                made = exp.select(own.copy()).from_(table).where(inside).distinct()
                before = {word.stem for word in words[:at]} - set(QUIET)
                place = max((n + 1 for n, word in enumerate(item.words) if word.stem in before), default=0)
                return self._made(item, [*item.words[:place], words[at], *item.words[place:]], made)
        return None

    def unmet(self, words: Sequence[Word], found: Sketch) -> int:
        """How many words of a question always bring a condition with a table of a statement that does not have it."""
        count = 0
        for word in words:
            for table, condition, _text in self._conditions.get(word.stem, ()):
                column, value = condition.find(exp.Column), condition.find(exp.Literal)
                if table in found.tables and column is not None and value is not None:
                    has = (table, column.name.lower()) in found.columns and value.name.lower() in found.literals
                    count += not has
        return count

    def _table(self, item: Prepared, words: Sequence[Word], named: Sequence[Named]) -> Prepared | None:
        """`state` for `city`: another table that has all the columns which the statement needs.

        The other table is one whose rows the question names, by its noun or by a value, where the example's table has
        none of either.
        """
        if len(item.sketch.tables) != 1:
            return None
        (old,) = item.sketch.tables
        own = self._naming.get(old)
        mine = {word.stem for word in words}
        values = {ref for entry in named if entry.query is None for ref in entry.refs}
        if own is None or self._nouns[old] <= mine or (old, own) in values:
            return None
        for table, column in self._naming.items():
            theirs = {name for _parts, name in self._columns[table]}
            needed = {name for _table, name in item.sketch.columns} - {own}
            meant = self._nouns[table] <= mine or (table, column) in values
            if table != old and meant and needed <= theirs:
                tree = item.tree.copy()
                names = Names(self._index.schema, tree)
                for node in [node for node in tree.find_all(exp.Column) if names.ref(node) == (old, own)]:
                    node.set("this", exp.to_identifier(column))
                for node in tree.find_all(exp.Column):
                    if node.table.lower() == old:
                        node.set("table", exp.to_identifier(table))
                for source in tree.find_all(exp.Table):
                    source.set("this", exp.to_identifier(table))
                noun = [word for word in words if word.stem in self._nouns[table]]
                said = list(item.words)
                for place in item.nouns:
                    said[place.at : place.at + 1] = noun[:1] or [item.words[place.at]]
                return self._made(item, said, tree)
        return None

    def _column(self, item: Prepared, words: Sequence[Word]) -> Prepared | None:
        """`area` for `population`: another column of a table of the statement."""
        mine, theirs = {word.stem for word in words}, {word.stem for word in item.words}
        missing = [word for word in words if word.stem not in theirs and word.stem not in QUIET]
        extra = [word for word in item.words if word.stem not in mine and word.stem not in QUIET]
        if not missing or not extra or len(missing) > 5 or len(extra) > 5:
            return None
        compared = {ref for slot in item.slots for ref in slot.refs}
        old = self._best(extra, [ref for ref in item.sketch.columns if ref not in compared])
        if old is None:
            return None
        others = [(old[0], name) for _parts, name in self._columns.get(old[0], ()) if (old[0], name) != old]
        new = self._best(missing, others)
        if new is None:
            return None
        tree = item.tree.copy()
        names = Names(self._index.schema, tree)
        for column in [node for node in tree.find_all(exp.Column) if names.ref(node) == old]:
            column.set("this", exp.to_identifier(new[1]))
        said = [word for word in missing if self._names(word, new)]
        gone = {word.stem for word in extra if self._names(word, old)}
        rewritten: list[Word] = []
        for word in item.words:
            if word.stem in gone:
                rewritten += said
                said = []
            else:
                rewritten.append(word)
        return self._made(item, rewritten, tree)

    def _best(self, words: Sequence[Word], refs: Sequence[Ref]) -> Ref | None:
        """The column that words stand for the most surely; None where they stand for none."""
        scored = [(sum(self._names(word, ref) for word in words), ref) for ref in refs]
        best = max(scored, default=(0.0, ("", "")))
        return best[1] if best[0] > 0 else None

    def _names(self, word: Word, ref: Ref) -> float:
        """How surely a word stands for a column, 0 where it does not."""
        parts = next((parts for parts, name in self._columns.get(ref[0], ()) if name == ref[1]), frozenset())
        if word.stem in parts:
            table = set(map(stem, split_name(ref[0])))
            return 0.1 if word.stem in table else 1.0 / len(parts - table or parts) + 0.5
        strength = self._index.associations.strength(word.stem, f"{ref[0]}.{ref[1]}")
        return strength if strength >= _STRONG else 0.0

    def _counted(self, item: Prepared, words: Sequence[Word]) -> Prepared | None:
        """`how many` for `which`, and the other way round."""
        counts = [word.folded for word in words[:2]] == ["how", "many"]
        tree = item.tree
        if not isinstance(tree, exp.Select) or len(tree.expressions) != 1:
            return None
        shown = tree.expressions[0].unalias()
        if counts and isinstance(shown, exp.Column) and not tree.args.get("order") and not self._measures(item):
            made = tree.copy()
            inner: exp.Expr = made.expressions[0].unalias().copy()
            if made.args.get("distinct"):
                made.set("distinct", None)
                inner = exp.Distinct(expressions=[inner])
            made.set("expressions", [exp.Count(this=inner)])
            start = next((at for at, word in enumerate(item.words) if word.folded not in _LEADING), 0)
            return self._made(item, [*_COUNTING, *item.words[start:]], made)
        if not counts and isinstance(shown, exp.Count) and [w.folded for w in item.words[:2]] == ["how", "many"]:
            column = shown.find(exp.Column)
            if column is None:
                return None
            made = tree.copy()
            made.set("expressions", [column.copy()])
            if shown.find(exp.Distinct):
                made.set("distinct", exp.Distinct())
            lead = [word for word in words[:4] if word.folded in _LEADING]
            return self._made(item, [*lead, *item.words[2:]], made)
        return None

    def _measures(self, item: Prepared) -> bool:
        """Whether an example shows an amount: `how many people` is that amount, not how many amounts there are."""
        column = self._index.column_of(item)
        return column is not None and column.numeric and not item.tree.args.get("distinct")

    def _unsaid(self) -> dict[str, list[tuple[str, exp.Expr, str]]]:
        """Words that bring a condition which no word of the question has: (table, condition, its text) by word."""
        seen: dict[str, Counter[str]] = defaultdict(Counter)
        total: Counter[tuple[str, str]] = Counter()
        conditions: dict[str, tuple[str, exp.Expr]] = {}
        for item in self._index.examples:
            stems = {word.stem for word in item.words if word.stem not in QUIET}
            for table in item.sketch.tables:
                total.update((word, table) for word in stems)
            for table, condition, text in _conditions(item, self._index):
                conditions[text] = table, condition
                for word in stems:
                    seen[word][text] += 1
        found: dict[str, list[tuple[str, exp.Expr, str]]] = defaultdict(list)
        for word, counts in seen.items():
            for text, count in counts.items():
                table, condition = conditions[text]
                if count >= _TWICE and count >= _ALWAYS * total[word, table]:
                    found[word].append((table, condition, text))
        return found

    def _condition_dropped(self, item: Prepared, words: Sequence[Word]) -> Prepared | None:
        mine = {word.stem for word in words}
        for word in item.words:
            if word.stem in mine:
                continue
            for table, _condition, text in self._conditions.get(word.stem, ()):
                if table in item.sketch.tables:
                    tree = item.tree.copy()
                    names = Names(self._index.schema, tree)
                    gone = [node for node in tree.find_all(exp.Binary) if names.text(node) == text]
                    if gone:
                        for node in gone:
                            drop(node)
                        return self._made(item, [entry for entry in item.words if entry is not word], tree)
        return None

    def _condition_added(self, item: Prepared, words: Sequence[Word]) -> Prepared | None:
        theirs = {word.stem for word in item.words}
        for at, word in enumerate(words):
            if word.stem in theirs:
                continue
            for table, condition, _text in self._conditions.get(word.stem, ()):
                noun = next((n.at for n in item.nouns if n.ref[0] == table), None)
                if table in item.sketch.tables and noun is not None and at + 1 < len(words):
                    tree = item.tree.copy()
                    narrow(list(tree.find_all(exp.Select)), table, condition)
                    return self._made(item, [*item.words[:noun], word, *item.words[noun:]], tree)
        return None


def _conditions(item: Prepared, index: ExampleIndex) -> list[tuple[str, exp.Expr, str]]:
    """Conditions whose value the question does not name: table, condition with that table's name, and its text."""
    unsaid = {literal for slot in item.slots if slot.start < 0 for literal in slot.literals}
    if not unsaid:
        return []
    names = Names(index.schema, item.tree)
    found: list[tuple[str, exp.Expr, str]] = []
    for number, node in enumerate(literals(item.tree)):
        parent = node.parent
        if number in unsaid and isinstance(parent, (exp.GT, exp.LT, exp.GTE, exp.LTE, exp.EQ, exp.NEQ)):
            column = parent.this
            if isinstance(column, exp.Column):
                table, name = names.ref(column)
                copy = parent.copy()
                copy.set("this", exp.column(name, table=table))
                found.append((table, copy, names.text(parent)))
    return found


def drop(node: exp.Expr) -> None:
    """Takes the condition away that a node is part of; where it is none of WHERE or HAVING, it stays."""
    condition: exp.Expr | None = node
    while condition is not None and not isinstance(condition.parent, (exp.And, exp.Where, exp.Having)):
        if isinstance(condition, (exp.Select, exp.Or)):
            return
        condition = condition.parent
    parent = condition.parent if condition is not None else None
    if isinstance(parent, exp.And):
        parent.replace(parent.right if condition is parent.left else parent.left)
    elif parent is not None:
        parent.pop()


def narrow(scopes: Sequence[exp.Select], table: str, condition: exp.Expr) -> None:
    """Adds a condition to every SELECT over a table; its columns get the name that the table has there."""
    for scope in scopes:
        source = scope.args.get("from_") or scope.args.get("from")
        joins = scope.args.get("joins") or ()
        for item in [source.this, *(join.this for join in joins)] if source is not None else []:
            if isinstance(item, exp.Table) and item.name.lower() == table:
                copy = condition.copy()
                for column in copy.find_all(exp.Column):
                    if column.table == table and not column.find_ancestor(exp.Select):
                        column.set("table", exp.to_identifier(item.alias_or_name))
                scope.where(copy, copy=False)
                break
