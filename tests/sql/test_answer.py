"""The sentence that says a single figure, from statements as either engine may write them."""

from __future__ import annotations

import pytest

from services.sql.engine.embedded import EmbeddedEngine
from services.sql.query import GeneratedQuery
from services.sql.results import answer
from services.sql.results.digest import Digest
from services.sql.results.superlative import companion
from services.sql.schema import Dialect, Schema
from services.sql.values import ColumnType, ResultColumn, Value

ENGINE = EmbeddedEngine()

ENGLISH = {
    "SELECT COUNT(*) FROM customers": "There are 1,500 customers.",
    "select count(*) from Customers c where c.city = 'Hanoi'": "There are 1,500 customers in Hanoi.",
    "SELECT COUNT(*) FROM customers WHERE city IN ('Hanoi', 'Hue')": "There are 1,500 customers in Hanoi or Hue.",
    "SELECT COUNT(*) FROM customers WHERE city = 'Hanoi' AND name LIKE 'Tom%'": (
        "Number of customers where city is Hanoi and name starts with Tom: 1,500."
    ),
    "SELECT COUNT(*) FROM orders JOIN customers ON customers.id = orders.customer_id WHERE customers.city = 'Hue'": (
        "Number of orders where customer city is Hue: 1,500."
    ),
    "SELECT COUNT(DISTINCT city) FROM customers": "Number of different city values of customers: 1,500.",
    "SELECT COUNT(DISTINCT customers.id) FROM customers JOIN orders ON orders.customer_id = customers.id "
    "WHERE orders.status = 'pending'": "Number of customers where order status is pending: 1,500.",
    "SELECT AVG(price) FROM products WHERE price > (SELECT AVG(price) FROM products)": (
        "Average price of products where price is over the average: 1,500."
    ),
    "SELECT SUM(unit_price * quantity) FROM order_items": "Total revenue of order items: 1,500.",
    "SELECT COUNT(*) FROM orders WHERE order_date >= '2025-12-01' AND order_date < '2026-01-01'": (
        "Number of orders where order date is in December 2025: 1,500."
    ),
    "SELECT COUNT(*) FROM orders WHERE order_date < '2025-02-01'": (
        "Number of orders where order date is before 2025-02-01: 1,500."
    ),
    "SELECT COUNT(*) FROM customers WHERE id NOT IN (SELECT customer_id FROM orders)": (
        "Number of customers without orders: 1,500."
    ),
    "SELECT name FROM products ORDER BY price DESC LIMIT 1": "Product with the highest price: 1,500.",
    "SELECT price FROM products WHERE name = 'Laptop'": "Price of products where name is Laptop: 1,500.",
}
UNSAYABLE = [
    # Rows that are met several times.
    "SELECT COUNT(*) FROM customers JOIN orders ON orders.customer_id = customers.id",
    "SELECT SUM(products.price) FROM products, customers",
    # Only of customers that have an order, and products that were ordered.
    "SELECT COUNT(DISTINCT customers.id) FROM customers JOIN orders ON orders.customer_id = customers.id",
    "SELECT MAX(price) FROM products JOIN order_items ON order_items.product_id = products.id",
    "SELECT COUNT(*) FROM customers WHERE city = 'Hanoi' OR country = 'Vietnam'",
    "SELECT COUNT(*) FROM customers WHERE LOWER(city) = 'hanoi'",
    "SELECT COUNT(*) FROM (SELECT DISTINCT city FROM customers)",
    "WITH c AS (SELECT * FROM customers LIMIT 3) SELECT COUNT(*) FROM c",
    "SELECT city FROM customers GROUP BY city HAVING COUNT(*) > 90",
    "SELECT COUNT(*) FROM orders LEFT JOIN customers ON customers.id = orders.customer_id",
    "SELECT COUNT(*) FROM customers WHERE id NOT IN (SELECT product_id FROM order_items)",
    "SELECT COUNT(*) + 1 FROM customers",
    "SELECT price FROM products LIMIT 1",
]
VIETNAMESE = {
    "Có bao nhiêu khách hàng ở Hà Nội?": "Có 1.500 khách hàng ở Hà Nội.",
    "Có bao nhiêu đơn hàng đã hủy?": "Số đơn hàng có trạng thái là đã hủy: 1.500.",
    "Giá trung bình của sản phẩm là bao nhiêu?": "Giá trung bình của sản phẩm: 1.500.",
    "Sản phẩm nào đắt nhất?": "Sản phẩm có giá cao nhất: 1.500.",
    "Có bao nhiêu đơn hàng trong tháng 3 năm 2025?": "Số đơn hàng có ngày đặt trong tháng 3 năm 2025: 1.500.",
    "tổng doanh thu": "Tổng doanh thu của mặt hàng trong đơn: 1.500.",
}


def said(question: str, query: GeneratedQuery, schema: Schema, value: Value = 1500) -> str:
    digest = Digest([ResultColumn("x", ColumnType.INTEGER)])
    digest.add([[value]])
    return answer.sentence(question, query, schema, digest, [[value]], False)


def written(sql: str) -> GeneratedQuery:
    return GeneratedQuery(sql, "", (), 1.0, "a model")


@pytest.mark.parametrize(("sql", "expected"), ENGLISH.items())
def test_a_figure_is_named(shop_schema: Schema, sql: str, expected: str) -> None:
    assert said("how many?", written(sql), shop_schema) == expected


@pytest.mark.parametrize("sql", UNSAYABLE)
def test_what_cannot_be_said_exactly_is_not_said(shop_schema: Schema, sql: str) -> None:
    assert said("how many?", written(sql), shop_schema) == "The answer is 1,500."


@pytest.mark.parametrize(("question", "expected"), VIETNAMESE.items())
def test_a_figure_is_named_in_vietnamese(shop_schema: Schema, question: str, expected: str) -> None:
    assert said(question, ENGINE.answer(question, shop_schema), shop_schema) == expected


def test_none_and_one_have_their_own_forms(shop_schema: Schema) -> None:
    query = written("SELECT COUNT(*) FROM customers")
    assert said("how many?", query, shop_schema, 0) == "There are no customers."
    assert said("how many?", query, shop_schema, 1) == "There is 1 customer."
    assert said("có bao nhiêu?", query, shop_schema, 0) == "Không có khách hàng nào."
    assert said("average?", written("SELECT AVG(price) FROM products"), shop_schema, None) == "The answer is nothing."


def test_computed_columns_have_names_that_no_column_has(shop_schema: Schema) -> None:
    for question, name in {
        "How many customers are there in each country?": "COUNT(*) AS count",
        "What is the average price of products?": "AVG(price) AS average_price",
        "number of orders per month": "AS order_date_month",
        "total revenue per city": "AS revenue",
    }.items():
        assert name in ENGINE.answer(question, shop_schema).sql


def table(
    question: str,
    sql: str,
    schema: Schema,
    columns: dict[str, ColumnType],
    rows: list[list[Value]],
    truncated: bool = False,
) -> str:
    """The sentence for a result of several rows."""
    digest = Digest([ResultColumn(name, kind) for name, kind in columns.items()])
    digest.add(rows)
    return answer.sentence(question, written(sql), schema, digest, rows[:20], truncated)


COUNTS = {"city": ColumnType.TEXT, "count": ColumnType.INTEGER}
PER_CITY = "SELECT city, COUNT(*) AS count FROM customers GROUP BY city"


def test_few_rows_are_listed_with_their_total(shop_schema: Schema) -> None:
    rows: list[list[Value]] = [["Hanoi", 1200], ["Hue", 300]]
    assert table("how many per city?", PER_CITY, shop_schema, COUNTS, rows) == (
        "There are 2 results: Hanoi, 1,200; Hue, 300. Total count: 1,500."
    )
    assert table("mỗi thành phố có bao nhiêu?", PER_CITY, shop_schema, COUNTS, rows) == (
        "Có 2 kết quả: Hanoi, 1.200; Hue, 300. Tổng số lượng: 1.500."
    )


def test_many_rows_are_said_by_their_range(shop_schema: Schema) -> None:
    rows: list[list[Value]] = [[f"City {n}", n * 10] for n in range(1, 13)]
    assert table("how many per city?", PER_CITY, shop_schema, COUNTS, rows) == (
        "There are 12 results. Highest count: City 12 (120); lowest: City 1 (10). Total count: 780."
    )
    assert table("mỗi thành phố có bao nhiêu?", PER_CITY, shop_schema, COUNTS, rows) == (
        "Có 12 kết quả. Số lượng cao nhất: City 12 (120); thấp nhất: City 1 (10). Tổng số lượng: 780."
    )


def test_a_period_is_said_from_when_to_when(shop_schema: Schema) -> None:
    sql = "SELECT strftime('%Y-%m', order_date) AS month, AVG(total) AS average FROM orders GROUP BY 1"
    columns = {"month": ColumnType.TEXT, "average": ColumnType.NUMBER}
    rows: list[list[Value]] = [[f"2025-{n:02}", 100.5 + n] for n in range(1, 9)]
    assert table("average per month?", sql, shop_schema, columns, rows) == (
        "There are 8 results from 2025-01 to 2025-08. Highest average: 2025-08 (108.5); lowest: 2025-01 (101.5)."
    )


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT city, AVG(age) AS count FROM customers GROUP BY city",
        "SELECT city, COUNT(DISTINCT country) AS count FROM customers GROUP BY city",
        "SELECT city, COUNT(*) AS count FROM customers GROUP BY city LIMIT 2",
        "SELECT city, COUNT(*) AS count FROM customers GROUP BY city HAVING COUNT(*) > 5",
        "SELECT c.city, COUNT(*) AS count FROM customers AS c JOIN orders AS o ON o.customer_id = c.id GROUP BY 1",
        "SELECT name, price AS count FROM products",
    ],
)
def test_what_does_not_add_up_has_no_total(shop_schema: Schema, sql: str) -> None:
    assert "otal" not in table("which?", sql, shop_schema, COUNTS, [["Hanoi", 12], ["Hue", 3]])


def test_a_result_that_was_cut_off_has_neither_total_nor_range(shop_schema: Schema) -> None:
    rows: list[list[Value]] = [[f"City {n}", n] for n in range(1, 13)]
    said = table("how many per city?", PER_CITY, shop_schema, COUNTS, rows, truncated=True)
    assert said.startswith("There are more than 12 results; the first are: City 1, 1;")
    assert "otal" not in said
    assert "ighest" not in said


@pytest.mark.parametrize(
    ("sql", "widened", "name"),
    [
        ("SELECT name FROM products ORDER BY price DESC LIMIT 1", "name, price AS chosen_by", "price"),
        (
            "SELECT c.name FROM customers AS c JOIN orders AS o ON o.customer_id = c.id "
            "GROUP BY c.id ORDER BY COUNT(*) DESC LIMIT 1",
            "COUNT(*) AS chosen_by",
            "count",
        ),
        ("SELECT name FROM products WHERE price = (SELECT MAX(price) FROM products)", "price AS chosen_by", "price"),
        ("SELECT city FROM customers GROUP BY city ORDER BY SUM(age) LIMIT 1", "SUM(age) AS chosen_by", "total age"),
    ],
)
def test_what_a_row_was_chosen_by_is_asked_for(sql: str, widened: str, name: str) -> None:
    found = companion(sql, Dialect.SQLITE)
    assert found is not None
    assert widened in found.sql
    assert found.name == name


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT price FROM products ORDER BY price DESC LIMIT 1",
        "SELECT price AS p FROM products ORDER BY p DESC LIMIT 1",
        "SELECT name, price FROM products ORDER BY price DESC LIMIT 1",
        "SELECT name FROM products ORDER BY price",
        "SELECT DISTINCT name FROM products ORDER BY price LIMIT 1",
        "SELECT COUNT(*) FROM products",
    ],
)
def test_nothing_is_asked_for_where_all_is_shown(sql: str) -> None:
    assert companion(sql, Dialect.SQLITE) is None
