"""Random questions about the sample shop, as people may say them: for the benchmark of spoken questions.

A small grammar of its own, written without a look at the vocabulary that the recogniser is given: other wordings, other
numbers, values of the whole database. The same seed gives the same questions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from random import Random

SLOT = re.compile(r"\{(\w+)\}")
NUMBERS = "two three four five six seven eight nine ten twelve fifteen twenty thirty fifty"
GRAMMAR: dict[str, Sequence[str]] = {
    "things": ("customers", "employees", "suppliers", "categories", "products", "orders"),
    "measured": (
        *("price|products", "stock|products", "salary|employees", "quantity|order items", "unit price|order items"),
    ),
    "city": (
        *("hanoi", "da nang", "hue", "can tho", "saigon", "hai phong", "london", "manchester", "boston", "chicago"),
        *("seattle", "sydney", "melbourne", "singapore", "toronto"),
    ),
    "country": ("vietnam", "england", "united states", "australia", "singapore", "canada"),
    "status": ("pending", "shipped", "delivered", "cancelled"),
    "category": ("electronics", "furniture", "kitchen", "books", "clothing", "food", "toys", "garden"),
    "title": ("manager", "sales clerk", "accountant", "driver"),
    "month": (
        *("january", "february", "march", "april", "may", "june", "july", "august", "september", "october"),
        *("november", "december"),
    ),
    "year": ("twenty twenty four", "twenty twenty five", "twenty twenty six"),
    "small": tuple(NUMBERS.split()),
    "big": (
        *("ten", "twenty", "thirty", "forty", "fifty", "eighty", "one hundred", "two hundred", "three hundred"),
        *("one hundred fifty", "five hundred", "two hundred fifty"),
    ),
    "pay": ("two thousand", "two thousand five hundred", "three thousand", "four thousand", "fifteen hundred"),
    "over": ("over", "above", "greater than", "more than", "higher than"),
    "under": ("under", "below", "less than", "lower than"),
    "show": ("show", "list", "show me", "give me", "display", "find", "get"),
    "superlative": ("highest", "lowest", "largest", "smallest"),
    "product": ("laptop", "camera", "green tea", "rice cooker", "puzzle", "sofa", "novel", "silk scarf", "honey"),
}
QUESTIONS = (
    "how many {things} are there",
    "how many {things} do we have",
    "how many {things} are in the database",
    "count all {things}",
    "count the {things}",
    "{show} all {things}",
    "{show} all the {things}",
    "{show} the {things}",
    "what is the number of {things}",
    "what is the total number of {things}",
    "{show} the names of all {things}",
    "what are the names of the {things}",
    "how many customers are in {city}",
    "how many customers live in {city}",
    "{show} the customers in {city}",
    "{show} all customers from {city}",
    "which customers are from {city}",
    "how many employees are in {city}",
    "{show} the employees in {city}",
    "which employees work in {city}",
    "how many customers are from {country}",
    "{show} the customers from {country}",
    "{show} customers in {country}",
    "{show} the suppliers from {country}",
    "how many suppliers are in {country}",
    "which suppliers are from {country}",
    "how many orders are {status}",
    "how many orders were {status}",
    "{show} all {status} orders",
    "how many {status} orders are there",
    "{show} the orders that were {status}",
    "{show} the products in {category}",
    "how many products are in {category}",
    "which products are in the {category} category",
    "how many employees are {title}s",
    "{show} the top {small} products by price",
    "{show} the {small} most expensive products",
    "{show} the {small} cheapest products",
    "which are the {small} cheapest products",
    "what is the most expensive product",
    "which product is the cheapest",
    "top {small} employees by salary",
    "{show} the {small} employees with the highest salary",
    "{show} the {small} products with the lowest stock",
    "which product has the {superlative} price",
    "which product has the {superlative} stock",
    "which employee has the {superlative} salary",
    "who has the {superlative} salary",
    "what is the {superlative} salary of employees",
    "what is the average {measure} of all {many}",
    "what is the average {measure} of the {many}",
    "what is the total {measure} of all {many}",
    "what is the maximum {measure} of {many}",
    "what is the minimum {measure} of the {many}",
    "what is the average price of products in {category}",
    "what is the average salary in {city}",
    "{show} the products with a price {over} {big}",
    "{show} products with a price {under} {big}",
    "which products have a price {over} {big}",
    "which products cost {over} {big}",
    "how many products cost {under} {big}",
    "how many products have a stock {under} {big}",
    "which products have a stock {over} {big}",
    "which employees have a salary {over} {pay}",
    "{show} the employees with a salary {under} {pay}",
    "how many employees earn more than {pay}",
    "how many orders were there in {month}",
    "how many orders were made in {month} {year}",
    "{show} the orders from {month} {year}",
    "how many orders in {year}",
    "how many orders were placed after {month} {year}",
    "{show} the orders before {month} {year}",
    "how many employees were hired after {year}",
    "which customers have no orders",
    "{show} the customers without orders",
    "which customers have never ordered",
    "which products were never ordered",
    "which customer has the most orders",
    "which employee has the most orders",
    "which category has the most products",
    "which supplier has the most products",
    "which customers have more than {small} orders",
    "how many customers have more than {small} orders",
    "how many orders does each customer have",
    "how many orders does each employee have",
    "how many products does each supplier have",
    "how many products are there in each category",
    "number of customers per city",
    "number of customers per country",
    "number of orders for each employee",
    "how many customers are there per city",
    "how many customers are there in each country",
    "how many orders per status",
    "what is the average salary per city",
    "what is the average price per category",
    "what is the total stock for each category",
    "what are the different cities of the customers",
    "how many different countries are there",
    "{show} the products sorted by price",
    "{show} the employees ordered by salary",
    "{show} the names and prices of all products",
    "{show} the names and cities of the customers",
    "{show} the name and salary of each employee",
    "what is the total revenue",
    "total revenue per category",
    "what is the price of the {product}",
    "how many orders did customers from {city} make",
    "how many orders came from {city}",
    "what is the newest order",
)


def question(random: Random) -> str:
    """One question, in lower case without punctuation."""
    measure, many = random.choice(GRAMMAR["measured"]).split("|")
    return _filled(random.choice(QUESTIONS), {"measure": measure, "many": many}, random)


def _filled(form: str, given: Mapping[str, str], random: Random) -> str:
    return SLOT.sub(lambda slot: given.get(slot[1]) or random.choice(GRAMMAR[slot[1]]), form)


def questions(seed: int) -> Sequence[str]:
    """Different questions in random order, some two thousand."""
    random = Random(seed)
    return list(dict.fromkeys(question(random) for _ in range(4000)))
