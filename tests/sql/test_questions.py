"""The embedded engine over the sample shop: questions beside gold statements, compared by what they give."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.sql.engine.embedded import EmbeddedEngine
from services.sql.errors import QuestionNotUnderstood
from services.sql.guard import guard
from services.sql.language.words import listed
from services.sql.schema import Schema

TODAY = dt.date(2026, 7, 1)
ITEMS = "order_items i JOIN orders o ON o.id = i.order_id JOIN customers c ON c.id = o.customer_id"
BEST = (
    "SELECT p.name FROM order_items i JOIN products p ON p.id = i.product_id GROUP BY p.id "
    "ORDER BY sum(i.quantity) DESC LIMIT"
)

GOLD = {
    "How many customers are there?": "SELECT count(*) FROM customers",
    "How many customers are in Can Tho?": "SELECT count(*) FROM customers WHERE city = 'Can Tho'",
    "how many customers are in can tho": "SELECT count(*) FROM customers WHERE city = 'Can Tho'",
    "Có bao nhiêu khách hàng ở Cần Thơ?": "SELECT count(*) FROM customers WHERE city = 'Can Tho'",
    "orders per city":
        "SELECT c.city, count(*) FROM orders o JOIN customers c ON c.id = o.customer_id GROUP BY c.city",
    "total revenue per month in 2025":
        f"SELECT strftime('%Y-%m', o.order_date), sum(i.quantity * i.unit_price) FROM {ITEMS} "
        "WHERE o.order_date LIKE '2025%' GROUP BY 1",
    "count the products": "SELECT count(*) FROM products",
    "how many orders were placed after March 5th, 2025?":
        "SELECT count(*) FROM orders WHERE order_date > '2025-03-05'",
    "có bao nhiêu đơn hàng trước ngày 5 tháng 3 năm 2025?":
        "SELECT count(*) FROM orders WHERE order_date < '2025-03-05'",
    "how many orders were placed between 2024 and 2025?":
        "SELECT count(*) FROM orders WHERE order_date BETWEEN '2024-01-01' AND '2025-12-31'",
    "how many orders were placed in 2025 or later": "SELECT count(*) FROM orders WHERE order_date >= '2025-01-01'",
    "how many orders in or before 2024": "SELECT count(*) FROM orders WHERE order_date < '2025-01-01'",
    "list the products from z to a": "SELECT name FROM products ORDER BY name DESC",
    "products with a price from 10 to 20": "SELECT name FROM products WHERE price BETWEEN 10 AND 20",
    "how many customers have orders": "SELECT count(DISTINCT customer_id) FROM orders",
    "how many orders are from customers in Hanoi":
        "SELECT count(*) FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE city = 'Hanoi')",
    "How many customers are in Hanoi?": "SELECT count(*) FROM customers WHERE city = 'Hanoi'",
    "how many customers are from Da Nang": "SELECT count(*) FROM customers WHERE city = 'Da Nang'",
    "How many customers are not in Vietnam?": "SELECT count(*) FROM customers WHERE country <> 'Vietnam'",
    "list all categories": "SELECT name FROM categories",
    "Show the names and prices of products": "SELECT name, price FROM products",
    "What are the names and salaries of employees?": "SELECT name, salary FROM employees",
    "show the email of customer John Carter": "SELECT email FROM customers WHERE name = 'John Carter'",
    "What is the average price of products?": "SELECT avg(price) FROM products",
    "what is the total salary of employees": "SELECT sum(salary) FROM employees",
    "What is the maximum price of the products?": "SELECT max(price) FROM products",
    "what is the highest salary": "SELECT max(salary) FROM employees",
    "Which employee has the highest salary?": "SELECT name FROM employees ORDER BY salary DESC LIMIT 1",
    "which product has the lowest price": "SELECT name FROM products ORDER BY price LIMIT 1",
    "What is the most expensive product?": "SELECT name FROM products ORDER BY price DESC LIMIT 1",
    "what are the 3 most expensive products": "SELECT name FROM products ORDER BY price DESC LIMIT 3",
    "show the three cheapest products": "SELECT name FROM products ORDER BY price LIMIT 3",
    "top 5 products by price": "SELECT name FROM products ORDER BY price DESC LIMIT 5",
    "list the products sorted by price": "SELECT name FROM products ORDER BY price",
    "list products ordered by price descending": "SELECT name FROM products ORDER BY price DESC",
    "products cheaper than 10": "SELECT name FROM products WHERE price < 10",
    "show products with a price greater than 100": "SELECT name FROM products WHERE price > 100",
    "how many products have a stock below 20": "SELECT count(*) FROM products WHERE stock < 20",
    "how many products cost at least two hundred": "SELECT count(*) FROM products WHERE price >= 200",
    "products with a price between 50 and 100": "SELECT name FROM products WHERE price BETWEEN 50 AND 100",
    "which employees have a salary above the average": "SELECT name FROM employees WHERE salary > (SELECT "
        "avg(salary) FROM employees)",
    "list the products in the category Books":
        "SELECT p.name FROM products p JOIN categories c ON c.id = p.category_id WHERE c.name = 'Books'",
    "how many products are in Electronics":
        "SELECT count(*) FROM products p JOIN categories c ON c.id = p.category_id WHERE c.name = 'Electronics'",
    "How many orders are there for each status?": "SELECT status, count(*) FROM orders GROUP BY status",
    "number of customers per city": "SELECT city, count(*) FROM customers GROUP BY city",
    "How many customers are there in each country?": "SELECT country, count(*) FROM customers GROUP BY country",
    "average price per category":
        "SELECT c.name, avg(p.price) FROM products p JOIN categories c ON c.id = p.category_id GROUP BY c.id",
    "how many products does each supplier have":
        "SELECT s.name, count(*) FROM products p JOIN suppliers s ON s.id = p.supplier_id GROUP BY s.id",
    "average salary of employees by city": "SELECT city, avg(salary) FROM employees GROUP BY city",
    "Which city has the most customers?": "SELECT city FROM customers GROUP BY city ORDER BY count(*) DESC LIMIT 1",
    "which category has the most products":
        "SELECT c.name FROM products p JOIN categories c ON c.id = p.category_id GROUP BY c.id ORDER BY "
        "count(*) DESC LIMIT 1",
    "Which customer has the most orders?":
        "SELECT c.name FROM orders o JOIN customers c ON c.id = o.customer_id GROUP BY c.id ORDER BY count(*) "
        "DESC LIMIT 1",
    "which customers have more than 10 orders":
        "SELECT c.name FROM orders o JOIN customers c ON c.id = o.customer_id GROUP BY c.id HAVING count(*) > 10",
    "Which customers have no orders?": "SELECT name FROM customers WHERE id NOT IN (SELECT customer_id FROM orders)",
    "list customers without orders": "SELECT name FROM customers WHERE id NOT IN (SELECT customer_id FROM orders)",
    "how many customers have no orders": "SELECT count(*) FROM customers WHERE id NOT IN (SELECT customer_id "
        "FROM orders)",
    "how many cancelled orders are there": "SELECT count(*) FROM orders WHERE status = 'cancelled'",
    "How many orders were there in March 2025?":
        "SELECT count(*) FROM orders WHERE order_date BETWEEN '2025-03-01' AND '2025-03-31'",
    "how many orders were there in 2025": "SELECT count(*) FROM orders WHERE order_date LIKE '2025-%'",
    "how many orders were there in march twenty twenty five": "SELECT count(*) FROM orders "
    "WHERE order_date BETWEEN '2025-03-01' AND '2025-03-31'",
    "how many orders last month": "SELECT count(*) FROM orders WHERE order_date LIKE '2026-06-%'",
    "how many orders since 2026": "SELECT count(*) FROM orders WHERE order_date >= '2026-01-01'",
    "number of orders per month": "SELECT substr(order_date, 1, 7), count(*) FROM orders GROUP BY 1",
    "What is the total revenue?": "SELECT sum(quantity * unit_price) FROM order_items",
    "total revenue per city": f"SELECT c.city, sum(i.quantity * i.unit_price) FROM {ITEMS} GROUP BY c.city",
    "what are the different cities of customers": "SELECT DISTINCT city FROM customers",
    "products whose name contains 'Book'": "SELECT name FROM products WHERE name LIKE '%Book%'",
    "customers in Hanoi or Hue": "SELECT name FROM customers WHERE city IN ('Hanoi', 'Hue')",
    "Có bao nhiêu khách hàng?": "SELECT count(*) FROM customers",
    "Có bao nhiêu khách hàng ở Hà Nội?": "SELECT count(*) FROM customers WHERE city = 'Hanoi'",
    "co bao nhieu khach hang o da nang": "SELECT count(*) FROM customers WHERE city = 'Da Nang'",
    "Sản phẩm nào đắt nhất?": "SELECT name FROM products ORDER BY price DESC LIMIT 1",
    "liệt kê 5 sản phẩm rẻ nhất": "SELECT name FROM products ORDER BY price LIMIT 5",
    "Giá trung bình của sản phẩm là bao nhiêu?": "SELECT avg(price) FROM products",
    "Khách hàng nào có nhiều đơn hàng nhất?":
        "SELECT c.name FROM orders o JOIN customers c ON c.id = o.customer_id GROUP BY c.id ORDER BY count(*) "
        "DESC LIMIT 1",
    "khách hàng nào chưa có đơn hàng": "SELECT name FROM customers WHERE id NOT IN (SELECT customer_id FROM orders)",
    "Có bao nhiêu đơn hàng trong tháng 3 năm 2025?":
        "SELECT count(*) FROM orders WHERE order_date BETWEEN '2025-03-01' AND '2025-03-31'",
    "Có bao nhiêu đơn hàng đã hủy?": "SELECT count(*) FROM orders WHERE status = 'cancelled'",
    "doanh thu theo thành phố": f"SELECT c.city, sum(i.quantity * i.unit_price) FROM {ITEMS} GROUP BY c.city",
    "Số lượng khách hàng theo thành phố": "SELECT city, count(*) FROM customers GROUP BY city",
    "nhân viên nào có lương cao nhất": "SELECT name FROM employees ORDER BY salary DESC LIMIT 1",
    "liệt kê sản phẩm có giá trên 100": "SELECT name FROM products WHERE price > 100",
    "những khách hàng nào có hơn 10 đơn hàng":
        "SELECT c.name FROM orders o JOIN customers c ON c.id = o.customer_id GROUP BY c.id HAVING count(*) > 10",
    "liệt kê tên và giá của các sản phẩm": "SELECT name, price FROM products",
    "How many orders are neither shipped nor delivered?":
        "SELECT count(*) FROM orders WHERE status NOT IN ('shipped', 'delivered')",
    "orders between 2026-01-01 and 2026-03-31":
        "SELECT id FROM orders WHERE order_date BETWEEN '2026-01-01' AND '2026-03-31'",
    "revenue by city in 2025":
        f"SELECT c.city, sum(i.quantity * i.unit_price) FROM {ITEMS} WHERE o.order_date LIKE '2025%' GROUP BY 1",
    "revenue per employee in 2025":
        f"SELECT e.name, sum(i.quantity * i.unit_price) FROM {ITEMS} JOIN employees e ON e.id = o.employee_id "
        "WHERE o.order_date LIKE '2025%' GROUP BY e.id",
    "doanh thu năm 2025": f"SELECT sum(i.quantity * i.unit_price) FROM {ITEMS} WHERE o.order_date LIKE '2025%'",
    "newest customer": "SELECT name FROM customers ORDER BY joined_on DESC LIMIT 1",
    "How many laptops did we sell?":
        "SELECT sum(i.quantity) FROM order_items i JOIN products p ON p.id = i.product_id WHERE p.name = 'Laptop'",
    "Sản phẩm nào bán chạy nhất?": f"{BEST} 1",
    "Top 3 sản phẩm bán chạy nhất": f"{BEST} 3",
    "Which product sells best?": f"{BEST} 1",
    "Bao nhiêu khách hàng tham gia năm nay?": "SELECT count(*) FROM customers WHERE joined_on LIKE '2026-%'",
    "average salary of sales clerks": "SELECT avg(salary) FROM employees WHERE title = 'Sales Clerk'",
    "Which product has never been sold?":
        "SELECT name FROM products WHERE id NOT IN (SELECT product_id FROM order_items)",
    "Customers who have never ordered": "SELECT name FROM customers WHERE id NOT IN (SELECT customer_id FROM orders)",
    "Khách hàng nào chưa bao giờ đặt hàng?":
        "SELECT name FROM customers WHERE id NOT IN (SELECT customer_id FROM orders)",
    "how many customers ordered in 2025":
        "SELECT count(DISTINCT customer_id) FROM orders WHERE order_date LIKE '2025-%'",
    "how many customers joined in 2025": "SELECT count(*) FROM customers WHERE joined_on LIKE '2025-%'",
    "customers who ordered in March 2025":
        "SELECT DISTINCT c.name FROM orders o JOIN customers c ON c.id = o.customer_id "
        "WHERE o.order_date LIKE '2025-03-%'",
    "list products by name, then by price": "SELECT name FROM products ORDER BY name, price",
    "customers sorted by city and name": "SELECT name FROM customers ORDER BY city, name",
    "customers sorted by city, then by name descending": "SELECT name FROM customers ORDER BY city, name DESC",
    "customers without phone": "SELECT name FROM customers WHERE phone IS NULL OR phone = ''",
}  # fmt: skip


@pytest.fixture(scope="session")
def engine() -> EmbeddedEngine:
    return EmbeddedEngine(today=TODAY)


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        found = connection.execute(sql).fetchall()
    return [tuple(round(value, 6) if isinstance(value, float) else value for value in row) for row in found]


@pytest.mark.parametrize("question", GOLD)
def test_a_question_gives_what_the_gold_statement_gives(
    question: str, engine: EmbeddedEngine, shop: Path, shop_schema: Schema
) -> None:
    query = engine.answer(question, shop_schema)
    found, gold = rows(shop, query.sql), rows(shop, GOLD[question])
    assert gold, "a gold statement without rows shows nothing"
    if "ORDER BY" in GOLD[question]:
        assert found == gold, query.sql
    else:
        assert Counter(found) == Counter(gold), query.sql
    guard.check(query.sql, shop_schema.dialect, 1000)


@pytest.mark.parametrize(
    ("question", "unknown"),
    [
        ("what is the weather tomorrow", "weather"),
        ("who wrote Hamlet", "Hamlet"),
        ("tell me a joke about penguins", "penguins"),
        ("Which customers bought Lamp?", "Lamp"),
        ("xin chào bạn", "chào"),
    ],
)
def test_what_is_not_about_the_database_is_refused_by_name(
    question: str, unknown: str, engine: EmbeddedEngine, shop_schema: Schema
) -> None:
    with pytest.raises(QuestionNotUnderstood) as caught:
        engine.answer(question, shop_schema)
    assert unknown in caught.value.metadata["unknown_words"].split(",")
    assert "customers" in caught.value.message


@pytest.mark.parametrize(
    ("question", "loose"),
    [
        ("which customers are older than 30", "older than"),
        ("show customers with 7", "7"),
        ("average order value", "average"),
        ("delete all customers", "delete"),
        ("Which customers bought a Laptop but not a Monitor?", "not"),
        ("What is the weather in Hanoi?", "weather"),
        ("Show the weather in Hanoi", "weather"),
        ("Tổng doanh thu quý 1 năm 2026", "quý"),
        ("how many units of Laptop were sold", "how many units"),
        ("most popular category", "most popular"),
        ("Which month had the highest revenue?", "Which month"),
        ("Tháng nào có doanh thu cao nhất?", "Tháng nào"),
        ("cheapest product in each category", "in each"),
        ("average revenue per order", "average"),
        ("customers who spent more than 5000", "more than"),
        ("What percentage of orders were cancelled?", "percentage"),
        ("tỷ lệ đơn hàng bị hủy", "tỷ lệ"),
        ("compare revenue in 2024 and 2025", "compare"),
        ("revenue in 2024 and 2025", "2025"),
        ("revenue this year versus last year", "versus"),
        ("So sánh doanh thu năm 2024 và 2025", "So sánh"),
        ("products out of stock", "out of stock"),
        ("second most expensive product", "second"),
        ("worst selling product", "worst selling"),
        ("customers who did not buy a Laptop", "not"),
        ("orders that are not shipped or cancelled", "not"),
        ("orders from 2026-01-01 to 2026-03-31", "2026-03-31"),
        ("best selling product in 2025", "2025"),
        ("orders over 1000", "over"),
    ],
)
def test_what_finds_nothing_to_act_on_is_refused(
    question: str, loose: str, engine: EmbeddedEngine, shop_schema: Schema
) -> None:
    with pytest.raises(QuestionNotUnderstood) as caught:
        engine.answer(question, shop_schema)
    assert loose in caught.value.metadata["unknown_words"].split(",")


def test_a_vietnamese_question_is_refused_in_vietnamese(engine: EmbeddedEngine, shop_schema: Schema) -> None:
    with pytest.raises(QuestionNotUnderstood, match="chưa trả lời được phần này: tỷ lệ"):
        engine.answer("tỷ lệ đơn hàng bị hủy", shop_schema)


def test_links_name_positions_tables_columns_and_values(engine: EmbeddedEngine, shop_schema: Schema) -> None:
    question = "How many customers are in Hanoi?"
    query = engine.answer(question, shop_schema)
    table, value = query.links
    assert (table.table, table.column, question[table.start : table.end]) == ("customers", "", "customers")
    assert (value.column, value.value, question[value.start : value.end]) == ("city", "Hanoi", "Hanoi")
    assert query.confidence > 0.8
    assert "customers" in query.explanation


def test_the_same_question_has_the_same_statement(shop_schema: Schema) -> None:
    question = "Which city has the most customers?"
    assert EmbeddedEngine().answer(question, shop_schema) == EmbeddedEngine().answer(question, shop_schema)


def test_statements_quote_names_that_need_it() -> None:
    data = {"dialect": "postgres", "tables": [{
        "name": "Order", "primary_key": ["Id"], "foreign_keys": [], "row_count": 1,
        "columns": [{"name": n, "type": "TEXT", "kind": "text", "nullable": True, "values": []} for n in ("Id",
        "User Name")],
    }]}  # fmt: skip
    query = EmbeddedEngine().answer("list the user names of orders", Schema.from_json(data))
    assert query.sql == 'SELECT "User Name" FROM "Order"'


_WORDS = listed(
    "how many which what show the of in with most highest average total than more not no without by each per sorted "
    "customers orders products price city name status revenue Hanoi cancelled 5 2025 March last month between and or "
    "top 'x' both contains oldest nhất nhiều khách hàng đơn giá everything descending distinct number"
)


@settings(deadline=None)
@given(words=st.lists(st.sampled_from(_WORDS), max_size=12))
def test_any_mix_of_words_gives_a_statement_that_runs_or_a_refusal(
    words: list[str], engine: EmbeddedEngine, shop: Path, shop_schema: Schema
) -> None:
    try:
        query = engine.answer(" ".join(words), shop_schema)
    except QuestionNotUnderstood:
        return
    checked = guard.check(query.sql, shop_schema.dialect, 5)
    with closing(sqlite3.connect(f"file:{shop}?mode=ro", uri=True)) as connection:
        connection.execute(f"EXPLAIN {checked.sql}").fetchall()
