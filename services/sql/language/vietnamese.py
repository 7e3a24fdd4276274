"""Vietnamese phrases without diacritics, and the English words that the engine's rules know for them."""

from __future__ import annotations

from services.sql.language.vietnamese_names import NAMES, SURE_NAMES

_LEXICON = """
bao nhieu=how many|co bao nhieu=how many|tong so luong=total quantity|so luong=number of|so=number of|dem=count
dem so=count|tong so=total number of|tong cong=total|tong=total|tong gia tri=total revenue|trung binh=average
cao nhat=highest|lon nhat=largest|thap nhat=lowest|nho nhat=smallest|it nhat=least|nhieu nhat=most
dat nhat=most expensive
mac nhat=most expensive|re nhat=cheapest|moi nhat=latest|gan nhat=latest|gan day nhat=latest|cu nhat=oldest
som nhat=earliest|dau tien=earliest|ban chay nhat=best selling|pho bien nhat=most common|nhat=vi_most
nhieu hon=more than|lon hon=more than|cao hon=more than|tren=more than|hon=more than|dat hon=more than|it hon=less than
nho hon=less than|thap hon=less than|duoi=less than|re hon=less than|it nhat la=at least|toi thieu=at least
toi da=at most|nhieu=many|it=few|giua=between|tu=from|den=to|va=and|hoac=or|hay=or|khong co=without|khong=not
chua co=without|chua tung=never|chua=not|chua bao gio=never|cua=of|trong=in|o=in|tai=in|thuoc=of|voi=with|cho=for
theo=by|theo tung=for each|moi=each|tung=each|moi mot=each|cho moi=for each|nao=which|la gi=what|gi=what|nhung=the
cac=the|tat ca=all|tat ca cac=all|toan bo=all|hay cho biet=show|cho biet=show|cho toi biet=show|cho toi xem=show
cho xem=show|liet ke=list|hien thi=show|danh sach=list|tim=find|dua ra=show|xem=show|toi=me|co=have|duoc=be|la=be
bi=be|da=have|dang=be|sap xep theo=sorted by|sap xep=sorted by|giam dan=descending|tang dan=ascending
khac nhau=different|thang=month|nam=year|ngay=date|quy=quarter|tuan=week|theo thang=per month|theo nam=per year
hang thang=per month|hang nam=per year|moi thang=per month|moi nam=per year
nam ngoai=last year|nam nay=this year|thang truoc=last month|thang nay=this month|tu nam=since|sau nam=after
truoc nam=before|sau=after|truoc=before|ke tu=since|trong nam=in|vao nam=in|trong thang=in month|vao thang=in month
khach hang=customers|khach=customers|san pham=products|mat hang=products|hang hoa=products|don hang=orders
don dat hang=orders|dat hang=orders|dat=orders|mua=orders|nhan vien=employees|nha cung cap=suppliers
danh muc=categories|loai=category|nhom hang=categories|chi tiet don hang=order items|gia=price|gia ban=price
don gia=price|gia tien=price|ton kho=stock|so luong ton=stock|so luong ton kho=stock|luong=salary|muc luong=salary
thanh pho=city|quoc gia=country|nuoc=country|dat nuoc=country|ten=name|ho ten=name|ho va ten=name|dia chi=address
so dien thoai=phone|dien thoai=phone|trang thai=status|tinh trang=status|doanh thu=revenue|doanh so=revenue
chuc vu=title
chuc danh=title|ngay tham gia=joined|tham gia=joined|ty le=percentage|phan tram=percentage|so sanh=compare
thu hai=second|thu nhi=second|thu ba=third|ngay dat=order date|ngay dat hang=order date|ngay vao lam=hired|tuoi=age
hoc sinh=students|sinh vien=students|giao vien=teachers|lop hoc=classes|lop=classes|khoa hoc=courses|khoa=departments
phong ban=departments|truong=schools|sach=books|tac gia=authors|phim=films|dien vien=actors|bai hat=songs|ca si=singers
xe=cars|cua hang=stores|hoa don=invoices|thanh toan=payments|tai khoan=accounts|benh nhan=patients|bac si=doctors
benh vien=hospitals|dan so=population|dien tich=area|bang=states|song=rivers|ho=lakes|nui=mountains|bien=seas
viet nam=vietnam|anh quoc=england|my=united states|hoa ky=united states|uc=australia|canada=canada|singapore=singapore
ha noi=hanoi|sai gon=saigon|thanh pho ho chi minh=saigon|da nang=da nang|hue=hue|can tho=can tho|hai phong=hai phong
da lat=da lat|dien tu=electronics|noi that=furniture|nha bep=kitchen|quan ao=clothing|thuc pham=food|do an=food
do choi=toys|san vuon=garden|vuon=garden|da huy=cancelled|bi huy=cancelled|huy=cancelled|da giao=delivered
dang giao=shipped|da gui=shipped|cho xu ly=pending|dang cho=pending|nguoi=people|ai=who|khi nao=when|o dau=where
ten cua=name of|gia trung binh=average price|luong trung binh=average salary|chiec=|cai=|thi=|nhe=|a=|vay=|the=
"""

_MORE = """
may=how many|dong=many|la bao nhieu=|bang bao nhieu=|het bao nhieu=how much|tro len=vi_up|tro xuong=vi_down
xep theo=sorted by|xep=sorted by|tu thap den cao=ascending|tu cao den thap=descending|tu cao xuong thap=descending
tu nho den lon=ascending|tu lon den nho=descending|tu be den lon=ascending
bat dau bang=starting with|bat dau voi=starting with|ket thuc bang=ending with|co chua=containing|chua chu=containing
chu=|chu cai=|cuon=|quyen=|lan nao=|luot=|nguoi nao=who|nhung ai=who|vi tri=position
tre nhat=youngest|tre tuoi nhat=youngest|lon tuoi nhat=oldest|gia nhat=oldest|nhieu tuoi nhat=oldest
day nhat=most pages|dai nhat=longest|ngan nhat=shortest|nang nhat=heaviest|nhe nhat=lightest|nhanh nhat=fastest
muon nhat=latest|chi tieu nhieu nhat=highest spending|chi tieu=spending|mua nhieu nhat=highest spending
it tien nhat=cheapest|tong so luong ton kho=total stock|tong ton kho=total stock|tong so trang=total pages
tong so gio=total hours|tong so tien=total amount|tong so buoi=total sessions|tong so luong=total quantity
chua ban duoc=never sold|chua duoc ban=never sold|khong ban duoc=never sold|het hang=out of stock|con hang=in stock
gia cao hon gia trung binh=price above the average|cao hon muc trung binh=above the average
gia thap hon gia trung binh=price below the average|thap hon muc trung binh=below the average
thap hon muc gia trung binh=below the average price|cao hon muc gia trung binh=above the average price
co tat ca bao nhieu=how many|tong cong bao nhieu=how many|co tong cong bao nhieu=how many
xuat ban=publication year|sinh sau nam=birth year after|sinh truoc nam=birth year before|sinh nam=birth year
vao lam=hired|tuyen dung=hired|duoc tuyen=hired|que o=hometown|den tu=from|song o=in|song tai=in|lam viec o=in
lam viec tai=in|lam viec=work|lam o=in|dat tai=in|nam o=in|nguoi viet nam=vietnam|nguoi viet=vietnam
luot muon=loans|muon=loans|tieu thuyet=novel|truyen ngan=short story|thieu nhi=children|nu=female|nam gioi=male
nguoi dan=people|do tuoi=age|tung chuc vu=each title|bao nhieu trang=how many pages|cong ty=company|cua hang=store
thu vien=library|hien co=|hien nay=|hien tai=|bay gio=|vay=|nhi=|giup toi=|giup minh=|cho minh=show|minh=
"""
PHRASES: dict[tuple[str, ...], str] = {
    **{words: " ".join(english) for words, english in NAMES.items() if len(words) > 1 or words[0] in SURE_NAMES},
    **{
        tuple(left.split()): right
        for entry in (_LEXICON + _MORE).replace("\n", "|").split("|")
        if entry
        for left, right in [entry.split("=")]
    },
}
"""Folded Vietnamese syllables → English words; none where the phrase says nothing to the rules."""

SPELT = {
    "gia": "giá", "luong": "lương", "my": "mỹ", "uc": "úc", "ho": "hồ", "bien": "biển", "nui": "núi", "song": "sông",
    "bang": "bang", "loai": "loại", "ten": "tên", "tuoi": "tuổi", "sach": "sách", "phim": "phim", "huy": "hủy",
    "khoa": "khoa", "lop": "lớp", "quy": "quý", "mua": "mua", "dat": "đặt", "nuoc": "nước", "hue": "huế",
    "nam": "năm", "nu": "nữ", "chu": "chữ", "muon": "mượn", "may": "mấy", "dong": "đông", "minh": "mình", "nhi": "nhỉ",
}  # fmt: skip
"""Syllables that mean something else with other diacritics: `tham gia` has no price (`giá`) in it."""

SURE_SIGNS = (
    *(
        "bao nhieu",
        "khach hang",
        "san pham",
        "don hang",
        "nhan vien",
        "nha cung cap",
        "danh muc",
        "liet ke",
        "hien thi",
    ),
    *("trung binh", "cao nhat", "thap nhat", "nhieu nhat", "it nhat", "lon nhat", "nho nhat", "dat nhat", "re nhat"),
    *("thanh pho", "danh sach", "cho biet", "cho toi", "moi nhat", "doanh thu", "tong so", "nao", "cua", "nhung"),
    *("nhieu", "khong co", "duoc", "theo", "trong thang", "trong nam", "tat ca", "co bao", "so luong", "la gi", "hon"),
    *("luong", "gia", "o", "cac", "moi", "tong", "don dat hang", "ton kho", "hoc sinh", "sinh vien"),
    *("phong ban", "du an", "khoa hoc", "thanh vien", "tac gia", "cuon", "quyen", "luot", "thap hon", "ai la"),
    *("thi sao", "con o", "sap xep", "tang dan", "giam dan", "trong do", "bao gio", "da muon", "nhung"),
)
"""Folded phrases that hardly occur in English questions."""
