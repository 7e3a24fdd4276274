-- A town's library: an English schema that Vietnamese questions are put to.
CREATE TABLE authors (
    author_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    country TEXT NOT NULL,
    birth_year INTEGER NOT NULL
);
CREATE TABLE books (
    book_id INTEGER PRIMARY KEY,
    title TEXT NOT NULL,
    author_id INTEGER NOT NULL REFERENCES authors (author_id),
    genre TEXT NOT NULL,
    publication_year INTEGER NOT NULL,
    pages INTEGER NOT NULL,
    price REAL NOT NULL
);
CREATE TABLE members (
    member_id INTEGER PRIMARY KEY,
    full_name TEXT NOT NULL,
    gender TEXT NOT NULL,
    age INTEGER NOT NULL,
    city TEXT NOT NULL,
    phone TEXT
);
CREATE TABLE loans (
    loan_id INTEGER PRIMARY KEY,
    book_id INTEGER NOT NULL REFERENCES books (book_id),
    member_id INTEGER NOT NULL REFERENCES members (member_id),
    loan_date DATE NOT NULL,
    return_date DATE
);
INSERT INTO authors VALUES
    (1, 'Nam Cao', 'Vietnam', 1915), (2, 'Nguyễn Nhật Ánh', 'Vietnam', 1955), (3, 'Haruki Murakami', 'Japan', 1949),
    (4, 'Jane Austen', 'England', 1775), (5, 'Victor Hugo', 'France', 1802), (6, 'Tô Hoài', 'Vietnam', 1920),
    (7, 'Agatha Christie', 'England', 1890);
INSERT INTO books VALUES
    (1, 'Chí Phèo', 1, 'Short story', 1941, 120, 3.5), (2, 'Mắt biếc', 2, 'Novel', 1990, 300, 6.0),
    (3, 'Kính vạn hoa', 2, 'Children', 1995, 480, 9.5), (4, 'Norwegian Wood', 3, 'Novel', 1987, 296, 11.0),
    (5, 'Kafka on the Shore', 3, 'Novel', 2002, 505, 13.5), (6, 'Pride and Prejudice', 4, 'Novel', 1813, 432, 8.0),
    (7, 'Les Misérables', 5, 'Novel', 1862, 1463, 21.0), (8, 'Dế Mèn phiêu lưu ký', 6, 'Children', 1941, 148, 4.0),
    (9, 'Death on the Nile', 7, 'Mystery', 1937, 288, 7.5), (10, 'The ABC Murders', 7, 'Mystery', 1936, 256, 7.0),
    (11, 'Lão Hạc', 1, 'Short story', 1943, 60, 2.5), (12, 'Emma', 4, 'Novel', 1815, 474, 8.5);
INSERT INTO members VALUES
    (1, 'Trần Minh Anh', 'F', 21, 'Hanoi', '0901'), (2, 'Lê Văn Bảo', 'M', 34, 'Hue', '0902'),
    (3, 'Phạm Thị Cúc', 'F', 45, 'Hanoi', NULL), (4, 'Võ Hoàng Dũng', 'M', 19, 'Da Nang', '0904'),
    (5, 'Đinh Thu Giang', 'F', 28, 'Hanoi', '0905'), (6, 'Hồ Quang Huy', 'M', 52, 'Hue', NULL),
    (7, 'Lưu Gia Khánh', 'M', 16, 'Saigon', '0907'), (8, 'Mai Phương Linh', 'F', 37, 'Saigon', '0908');
INSERT INTO loans VALUES
    (1, 2, 1, '2025-01-05', '2025-01-20'), (2, 4, 1, '2025-02-11', '2025-03-01'), (3, 7, 2, '2025-02-14', NULL),
    (4, 9, 3, '2025-03-03', '2025-03-15'), (5, 2, 4, '2025-03-21', '2025-04-02'), (6, 3, 4, '2025-04-10', NULL),
    (7, 5, 5, '2025-04-18', '2025-05-06'), (8, 9, 5, '2025-05-09', '2025-05-30'), (9, 2, 5, '2025-06-01', NULL),
    (10, 6, 8, '2025-06-12', '2025-06-30'), (11, 10, 8, '2024-11-08', '2024-11-25'), (12, 8, 7, '2024-12-24', NULL),
    (13, 1, 3, '2024-10-02', '2024-10-19'), (14, 2, 8, '2025-07-07', NULL);
