-- A small company: names in Vietnamese without diacritics, one table with them, values with them.
CREATE TABLE phong_ban (
    ma_phong INTEGER PRIMARY KEY,
    ten_phong TEXT NOT NULL,
    dia_diem TEXT NOT NULL,
    ngan_sach INTEGER NOT NULL
);
CREATE TABLE nhan_vien (
    ma_nv INTEGER PRIMARY KEY,
    ho_ten TEXT NOT NULL,
    gioi_tinh TEXT NOT NULL,
    ngay_sinh DATE NOT NULL,
    que_quan TEXT NOT NULL,
    chuc_vu TEXT NOT NULL,
    luong INTEGER NOT NULL,
    email TEXT,
    ngay_vao_lam DATE NOT NULL,
    ma_phong INTEGER NOT NULL REFERENCES phong_ban (ma_phong)
);
CREATE TABLE du_an (
    ma_du_an INTEGER PRIMARY KEY,
    ten_du_an TEXT NOT NULL,
    kinh_phi INTEGER NOT NULL,
    ngay_bat_dau DATE NOT NULL,
    trang_thai TEXT NOT NULL
);
CREATE TABLE phan_cong (
    ma_nv INTEGER NOT NULL REFERENCES nhan_vien (ma_nv),
    ma_du_an INTEGER NOT NULL REFERENCES du_an (ma_du_an),
    so_gio INTEGER NOT NULL,
    PRIMARY KEY (ma_nv, ma_du_an)
);
CREATE TABLE "khóa_học" (
    "mã" INTEGER PRIMARY KEY,
    "tên" TEXT NOT NULL,
    "học_phí" INTEGER NOT NULL,
    "số_buổi" INTEGER NOT NULL
);
INSERT INTO phong_ban VALUES
    (1, 'Kế toán', 'Hà Nội', 800), (2, 'Kỹ thuật', 'Đà Nẵng', 2500), (3, 'Kinh doanh', 'Hà Nội', 1700),
    (4, 'Nhân sự', 'Huế', 600), (5, 'Pháp chế', 'Cần Thơ', 450);
INSERT INTO nhan_vien VALUES
    (1, 'Nguyễn Văn An', 'Nam', '1985-03-12', 'Hà Nội', 'Trưởng phòng', 32, 'an@congty.vn', '2012-05-01', 1),
    (2, 'Trần Thị Bình', 'Nữ', '1990-07-25', 'Nam Định', 'Kế toán viên', 18, 'binh@congty.vn', '2016-09-15', 1),
    (3, 'Lê Quốc Cường', 'Nam', '1988-11-02', 'Đà Nẵng', 'Trưởng phòng', 35, 'cuong@congty.vn', '2011-02-20', 2),
    (4, 'Phạm Thu Dung', 'Nữ', '1995-01-30', 'Quảng Nam', 'Kỹ sư', 24, NULL, '2019-06-10', 2),
    (5, 'Hoàng Minh Đức', 'Nam', '1993-04-18', 'Đà Nẵng', 'Kỹ sư', 22, 'duc@congty.vn', '2020-03-02', 2),
    (6, 'Vũ Ngọc Hà', 'Nữ', '1998-09-09', 'Hải Phòng', 'Kỹ sư', 17, 'ha@congty.vn', '2022-08-22', 2),
    (7, 'Đặng Thanh Hùng', 'Nam', '1983-12-05', 'Hà Nội', 'Trưởng phòng', 38, 'hung@congty.vn', '2010-01-11', 3),
    (8, 'Bùi Thị Lan', 'Nữ', '1991-05-21', 'Thái Bình', 'Chuyên viên', 16, NULL, '2017-04-03', 3),
    (9, 'Đỗ Hồng Mai', 'Nữ', '1996-02-14', 'Hà Nội', 'Chuyên viên', 15, 'mai@congty.vn', '2021-07-19', 3),
    (10, 'Ngô Văn Nam', 'Nam', '1989-08-08', 'Nghệ An', 'Chuyên viên', 19, 'nam@congty.vn', '2015-10-05', 3),
    (11, 'Dương Thị Oanh', 'Nữ', '1987-06-17', 'Huế', 'Trưởng phòng', 30, 'oanh@congty.vn', '2013-11-25', 4),
    (12, 'Lý Gia Phúc', 'Nam', '1999-10-27', 'Huế', 'Thực tập sinh', 7, NULL, '2023-01-09', 4),
    (13, 'Tạ Quang Sơn', 'Nam', '1992-03-03', 'Nghệ An', 'Kỹ sư', 26, 'son@congty.vn', '2018-12-17', 2),
    (14, 'Mai Thu Trang', 'Nữ', '1994-11-11', 'Hà Nội', 'Kế toán viên', 20, 'trang@congty.vn', '2018-02-26', 1);
INSERT INTO du_an VALUES
    (1, 'Cổng thanh toán', 900, '2021-03-01', 'Hoàn thành'), (2, 'Ứng dụng di động', 1200, '2022-06-15', 'Đang chạy'),
    (3, 'Kho dữ liệu', 1500, '2023-02-10', 'Đang chạy'), (4, 'Tuyển dụng trực tuyến', 300, '2020-09-20', 'Hoàn thành'),
    (5, 'Mở rộng miền Nam', 700, '2023-08-01', 'Tạm dừng');
INSERT INTO phan_cong VALUES
    (3, 1, 120), (3, 3, 60), (4, 1, 200), (4, 2, 150), (5, 2, 300), (6, 2, 90), (13, 3, 260), (13, 1, 40),
    (7, 5, 80), (10, 5, 110), (11, 4, 130), (12, 4, 45), (2, 1, 30);
INSERT INTO "khóa_học" VALUES
    (1, 'Tiếng Anh', 5, 30), (2, 'Kỹ năng mềm', 2, 8), (3, 'Quản lý dự án', 7, 16), (4, 'An toàn lao động', 1, 3);
