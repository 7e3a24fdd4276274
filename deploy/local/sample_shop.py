"""A sample shop: a SQLite database with a few thousand made-up rows, the same for the same seed.

Run as ``python -m deploy.local.sample_shop PATH``. Seven tables joined by foreign keys: customers, employees,
suppliers, categories, products, orders and order_items. Names are Vietnamese and English; orders lie in the two years
that end with `LAST_DAY`, a fixed date, so that the same question has the same answer every day.
"""

import argparse
import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from random import Random

LAST_DAY = date(2026, 6, 30)
"""The day of the newest order."""

CUSTOMERS = 400
ORDERS = 1500
DAYS = 730

_SCHEMA = """
CREATE TABLE customers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT NOT NULL UNIQUE,
    phone TEXT,
    city TEXT NOT NULL,
    country TEXT NOT NULL,
    joined_on DATE NOT NULL
);
CREATE TABLE employees (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    title TEXT NOT NULL,
    city TEXT NOT NULL,
    salary INTEGER NOT NULL,
    hired_on DATE NOT NULL
);
CREATE TABLE suppliers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    country TEXT NOT NULL
);
CREATE TABLE categories (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE products (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    category_id INTEGER NOT NULL REFERENCES categories (id),
    supplier_id INTEGER NOT NULL REFERENCES suppliers (id),
    price NUMERIC(10, 2) NOT NULL,
    stock INTEGER NOT NULL
);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    employee_id INTEGER NOT NULL REFERENCES employees (id),
    order_date DATE NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'shipped', 'delivered', 'cancelled'))
);
CREATE TABLE order_items (
    id INTEGER PRIMARY KEY,
    order_id INTEGER NOT NULL REFERENCES orders (id),
    product_id INTEGER NOT NULL REFERENCES products (id),
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    unit_price NUMERIC(10, 2) NOT NULL
);
CREATE INDEX orders_by_customer ON orders (customer_id);
CREATE INDEX orders_by_date ON orders (order_date);
CREATE INDEX order_items_by_order ON order_items (order_id);
CREATE INDEX order_items_by_product ON order_items (product_id);
"""

_VIETNAMESE_CITIES = ("Hanoi", "Da Nang", "Hue", "Can Tho", "Saigon", "Đà Lạt", "Hải Phòng")
_OTHER_CITIES = (
    ("London", "England"),
    ("Manchester", "England"),
    ("Boston", "United States"),
    ("Chicago", "United States"),
    ("Seattle", "United States"),
    ("Sydney", "Australia"),
    ("Melbourne", "Australia"),
    ("Singapore", "Singapore"),
    ("Toronto", "Canada"),
)
_VIETNAMESE_FAMILIES = ("Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Vũ", "Đặng", "Bùi", "Đỗ", "Ngô")
_VIETNAMESE_MIDDLES = ("Văn", "Thị", "Minh", "Thanh", "Quốc", "Ngọc", "Hồng", "Đức")
_VIETNAMESE_GIVEN = ("An", "Bình", "Châu", "Dũng", "Hà", "Hùng", "Lan", "Linh", "Mai", "Nam", "Phương", "Quang", "Tuấn")
_ENGLISH_GIVEN = (
    *("Alice", "Anna", "Charles", "Daniel", "David", "Emily", "Emma", "George", "Grace", "Henry", "Jack", "James"),
    *("John", "Julia", "Laura", "Lucy", "Mary", "Michael", "Oliver", "Oscar", "Peter", "Robert", "Sarah", "Thomas"),
)
_ENGLISH_FAMILIES = (
    *("Adams", "Baker", "Brown", "Carter", "Clark", "Cooper", "Davis", "Evans", "Green", "Harris", "Hill", "Jackson"),
    *("Johnson", "King", "Miller", "Moore", "Parker", "Scott", "Smith", "Taylor", "Turner", "Walker", "White", "Young"),
)
_EMPLOYEES = (
    ("Nguyễn Thị Mai", "Manager", "Hanoi", 4200),
    ("Trần Quốc Nam", "Sales Clerk", "Hanoi", 1900),
    ("Lê Minh Châu", "Sales Clerk", "Saigon", 2050),
    ("Helen Walker", "Manager", "London", 5200),
    ("Tom Baker", "Sales Clerk", "London", 2700),
    ("Rachel Green", "Sales Clerk", "Boston", 2900),
    ("Phạm Hồng Linh", "Accountant", "Saigon", 2600),
    ("Frank Miller", "Driver", "Boston", 2300),
    ("Vũ Đức Hùng", "Driver", "Da Nang", 1500),
    ("Susan Young", "Accountant", "Sydney", 3400),
)
_SUPPLIERS = (
    ("Lotus Trading", "Vietnam"),
    ("Red River Foods", "Vietnam"),
    ("Bến Thành Crafts", "Vietnam"),
    ("Northern Lights", "Canada"),
    ("Kangaroo Imports", "Australia"),
    ("Oxford Press", "England"),
    ("Silver Bridge", "United States"),
    ("Merlion Electronics", "Singapore"),
)
# category: (lowest price, highest price, products)
_CATALOGUE: dict[str, tuple[float, float, tuple[str, ...]]] = {
    "Electronics": (
        *(15, 900),
        ("Laptop", "Tablet", "Headphones", "Keyboard", "Camera", "Printer", "Monitor", "Radio", "Speaker", "Charger"),
    ),
    "Furniture": (
        *(25, 700),
        ("Desk", "Office Chair", "Bookshelf", "Sofa", "Dining Table", "Wardrobe", "Desk Lamp", "Mirror", "Bed Frame"),
    ),
    "Kitchen": (
        *(4, 180),
        ("Coffee Grinder", "Rice Cooker", "Kettle", "Frying Pan", "Knife Set", "Blender", "Toaster", "Tea Pot", "Wok"),
    ),
    "Books": (
        *(5, 60),
        ("Cook Book", "Dictionary", "Atlas", "Travel Guide", "Novel", "History Book", "Poetry Book", "Picture Book"),
    ),
    "Clothing": (
        *(8, 220),
        ("Silk Scarf", "Rain Coat", "Leather Belt", "Wool Hat", "Cotton Shirt", "Áo Dài", "Running Shoes", "Jacket"),
    ),
    "Food": (
        *(2, 45),
        ("Green Tea", "Black Coffee", "Fish Sauce", "Rice", "Honey", "Bánh Chưng", "Chocolate", "Olive Oil"),
    ),
    "Toys": (
        *(3, 90),
        ("Toy Train", "Puzzle", "Chess Set", "Teddy Bear", "Kite", "Doll House", "Board Game", "Paper Lantern"),
    ),
    "Garden": (
        *(5, 350),
        ("Watering Can", "Lawn Mower", "Garden Chair", "Flower Pot", "Shovel", "Bird House", "Hammock"),
    ),
}


def _customers(random: Random) -> Iterator[tuple[object, ...]]:
    """Rows of customers: a little over half with Vietnamese names; about one in twelve has no phone."""
    for number in range(1, CUSTOMERS + 1):
        parts: tuple[tuple[str, ...], ...]
        if random.random() < 0.55:
            parts = (_VIETNAMESE_FAMILIES, _VIETNAMESE_MIDDLES, _VIETNAMESE_GIVEN)
            city, country = random.choice(_VIETNAMESE_CITIES), "Vietnam"
        else:
            parts = (_ENGLISH_GIVEN, _ENGLISH_FAMILIES)
            city, country = random.choice(_OTHER_CITIES)
        name = " ".join(random.choice(part) for part in parts)
        phone = None if random.random() < 0.08 else f"+84 {random.randrange(10**8, 10**9)}"
        joined = LAST_DAY - timedelta(days=random.randrange(DAYS, 3 * DAYS))
        yield number, name, f"customer{number}@example.com", phone, city, country, joined.isoformat()


def _employees(random: Random) -> Iterator[tuple[object, ...]]:
    """Rows of employees."""
    for number, employee in enumerate(_EMPLOYEES, start=1):
        yield number, *employee, (LAST_DAY - timedelta(days=random.randrange(DAYS, 5 * DAYS))).isoformat()


def _products(random: Random) -> Iterator[tuple[object, ...]]:
    """Rows of products, numbered through all categories."""
    number = 0
    for category, (low, high, names) in enumerate(_CATALOGUE.values(), start=1):
        for name in names:
            number += 1
            # The square makes cheap products more common than dear ones.
            price = round(low + (high - low) * random.random() ** 2, 2)
            yield number, name, category, random.randint(1, len(_SUPPLIERS)), price, random.randrange(0, 250)


def _orders(random: Random) -> Iterator[tuple[object, ...]]:
    """Rows of orders in the order of their dates; a tenth of the customers never orders."""
    buyers = random.sample(range(1, CUSTOMERS + 1), CUSTOMERS * 9 // 10)
    weights = [random.random() + 0.1 for _ in buyers]
    days = sorted(random.randrange(DAYS) for _ in range(ORDERS))
    for number, day in enumerate(days, start=1):
        (customer,) = random.choices(buyers, weights)
        if day > DAYS - 14:
            status = random.choice(("pending", "shipped"))
        else:
            (status,) = random.choices(("delivered", "cancelled", "shipped"), (85, 9, 6))
        # Drivers and accountants take no orders: the first six do.
        placed = LAST_DAY - timedelta(days=DAYS - 1 - day)
        yield number, customer, random.randint(1, 6), placed.isoformat(), status


def _order_items(random: Random, products: Sequence[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
    """Rows of order items: one to five products for each order; two products are never sold."""
    number = 0
    sold = products[:-2]
    for order in range(1, ORDERS + 1):
        for product in random.sample(sold, random.choice((1, 2, 2, 3, 3, 4, 5))):
            number += 1
            yield number, order, product[0], random.choice((1, 1, 1, 2, 2, 3, 5)), product[4]


def build(path: Path, seed: int = 7) -> None:
    """Writes the shop to a new SQLite file, or over an existing one.

    Args:
        path: The file; its folder is made where it is missing.
        seed: The same seed gives the same rows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    random = Random(seed)  # noqa: S311  made-up data, no secret depends on it
    products = list(_products(random))
    rows: dict[str, Sequence[tuple[object, ...]]] = {
        "customers": list(_customers(random)),
        "employees": list(_employees(random)),
        "suppliers": [(number, *supplier) for number, supplier in enumerate(_SUPPLIERS, start=1)],
        "categories": list(enumerate(_CATALOGUE, start=1)),
        "products": products,
        "orders": list(_orders(random)),
        "order_items": list(_order_items(random, products)),
    }
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(_SCHEMA)
        for table, values in rows.items():
            marks = ", ".join("?" * len(values[0]))
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", values)  # noqa: S608  our own table names


def main() -> None:
    """Writes the shop to the path given on the command line."""
    parser = argparse.ArgumentParser(description="Write the sample shop database.")
    parser.add_argument("path", type=Path, help="the SQLite file to write")
    parser.add_argument("--seed", type=int, default=7, help="the same seed gives the same rows")
    arguments = parser.parse_args()
    build(arguments.path, arguments.seed)


if __name__ == "__main__":
    main()
