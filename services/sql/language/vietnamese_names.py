"""Vietnamese names of tables and columns as English ones: `ngay_vao_lam` is read as `hired date`.

The engine's rules know by English words what a column is: a name, a date, a price. A Vietnamese noun comes before what
describes it, an English one after: the parts of a name change places.
"""

from __future__ import annotations

_NAMES = """
nhan vien=employee|nv=employee|nhan su=employee|cong nhan=worker|khach hang=customer|kh=customer|khach=customer
san pham=product|sp=product|mat hang=product|hang hoa=product|don hang=order|dh=order|hoa don=invoice|hd=invoice
chi tiet=item|nha cung cap=supplier|ncc=supplier|danh muc=category|loai=category|nhom=category|phong ban=department
phong=department|bo phan=department|chi nhanh=branch|cua hang=store|kho=warehouse|du an=project|phan cong=assignment
cong viec=task|khoa hoc=course|mon hoc=subject|lop=class|lop hoc=class|sinh vien=student|hoc sinh=student|hs=student
sv=student|giao vien=teacher|gv=teacher|giang vien=lecturer|truong=school|khoa=faculty|diem=score|diem so=score
diem thi=score|sach=book|tac gia=author|nha xuat ban=publisher|the loai=genre|doc gia=reader|phieu muon=loan
benh nhan=patient|bac si=doctor|benh vien=hospital|phim=film|ca si=singer|bai hat=song|hop dong=contract|xe=car
tai khoan=account|giao dich=transaction|thanh toan=payment|nguoi dung=user|thanh vien=member|cong ty=company
quoc gia=country|nuoc=country|thanh pho=city|tinh=province|quan=district|huyen=district|khu vuc=region|vung=region
ma=id|ma so=id|ma nv=employee id|ma kh=customer id|ma sp=product id|ma hd=invoice id|ma dh=order id|ma sv=student id
ma gv=teacher id|ma ncc=supplier id
so hieu=number|stt=number|ten=name|ho ten=name|ho va ten=name|ten day du=name|ho=last name|tieu de=title
gioi tinh=gender|phai=gender|tuoi=age|ngay sinh=birth date|nam sinh=birth year|noi sinh=birth place|que quan=hometown
que=hometown|dia chi=address|dia diem=location|noi o=address|vi tri=location|so dien thoai=phone|dien thoai=phone
sdt=phone|luong=salary|muc luong=salary|luong co ban=salary|thuong=bonus|phu cap=allowance|chuc vu=title
chuc danh=title|trinh do=degree|bang cap=degree|ngay=date|gio=hours|so gio=hours|so buoi=sessions|buoi=sessions
so tiet=periods|so ngay=days|thoi gian=time|thoi luong=duration|ngay vao lam=hired date|ngay tuyen dung=hired date
ngay bat dau=start date|ngay ket thuc=end date|ngay dat=order date|ngay dat hang=order date|ngay lap=date
ngay ban=sale date|ngay mua=purchase date|ngay giao=delivery date|ngay giao hang=delivery date|ngay tao=created date
ngay muon=loan date|ngay tra=return date|ngay dang ky=registered date|ngay tham gia=joined date|nam=year|thang=month
nam xuat ban=publication year|nam thanh lap=founded year|gia=price|gia ban=price|gia nhap=cost|don gia=price
gia tien=price|so luong=quantity|sl=quantity|so luong ton=stock|ton kho=stock|so luong ton kho=stock|so trang=pages
tong tien=total amount|so tien=amount|thanh tien=amount|doanh thu=revenue|loi nhuan=profit|chi phi=cost
ngan sach=budget|kinh phi=funding|hoc phi=fee|phi=fee|no=debt|so du=balance|trang thai=status|tinh trang=status
mo ta=description|ghi chu=note|noi dung=content|dien tich=area|dan so=population|chieu cao=height|can nang=weight
trong luong=weight|toc do=speed|mau=color|mau sac=color|kich thuoc=size|kich co=size|hang san xuat=manufacturer
nha san xuat=manufacturer|xuat xu=origin|bao hanh=warranty|danh gia=rating|xep hang=rank|email=email|mat khau=password
nguoi quan ly=manager|quan ly=manager|truong phong=manager|van phong=office|toa nha=building|tang=floor|he so=factor
"""
NAMES: dict[tuple[str, ...], tuple[str, ...]] = {
    tuple(left.split()): tuple(right.split())
    for entry in _NAMES.strip().replace("\n", "|").split("|")
    for left, right in [entry.split("=")]
}
_LONGEST = max(map(len, NAMES))
# Words that English names have too: alone, without diacritics, they make no name a Vietnamese one.
_MISTAKABLE = frozenset(
    {
        *("an", "ban", "bang", "buoi", "email", "gia", "giao", "ho", "hd", "hs", "kho", "kh", "lap", "loai", "ma"),
        *("mau", "mo", "muon", "nam", "no", "nv", "phai", "phi", "phim", "quan", "que", "sl", "so", "sp", "stt", "sv"),
        *("tang", "ten", "thang", "the", "tinh", "to", "tra", "vi", "vung", "xe", "dh", "gv", "gio", "hai", "may"),
    }
)
_OTHERS = frozenset({"tuoi", "thang", "ngay", "loai", "diem"})
SURE_NAMES = frozenset(words[0] for words in NAMES if len(words) == 1) - _MISTAKABLE - _OTHERS
"""Names of one syllable that a question's word may stand for, too."""


def english_name(words: tuple[str, ...], marked: bool = False) -> tuple[str, ...]:
    """The English words for a Vietnamese name; empty where it is none, or a part of it is not known.

    Args:
        words: Of the name, folded.
        marked: Whether it is written with diacritics.
    """
    found: list[tuple[str, ...]] = []
    position, sure = 0, marked
    while position < len(words):
        for length in range(min(_LONGEST, len(words) - position), 0, -1):
            english = NAMES.get(words[position : position + length])
            if english is not None:
                sure = sure or length > 1 or words[position] not in _MISTAKABLE
                found.insert(0, english)
                position += length
                break
        else:
            return ()
    if not sure or (words == ("email",)):
        return ()
    return tuple(word for part in found for word in part)
