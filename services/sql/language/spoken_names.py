"""What Vietnamese calls what designers name in English: `order` is said as “đơn hàng”."""

from __future__ import annotations

_VIETNAMESE = dict(
    entry.split("=")
    for entry in """customer=khách hàng|product=sản phẩm|order=đơn hàng|employee=nhân viên|supplier=nhà cung cấp
category=danh mục|order item=mặt hàng trong đơn|city=thành phố|country=quốc gia|name=tên|price=giá|unit price=đơn giá
stock=tồn kho|status=trạng thái|salary=lương|quantity=số lượng|order date=ngày đặt|title=chức danh|email=email
address=địa chỉ|phone=điện thoại|age=tuổi|year=năm|date=ngày|student=sinh viên|department=phòng ban|population=dân số
area=diện tích|revenue=doanh thu""".replace("\n", "|").split("|")
)


def known_vietnamese(name: str) -> str:
    """The Vietnamese for an English name in the singular; empty where nobody knows."""
    return _VIETNAMESE.get(name, "")


def vietnamese_name(name: str) -> str:
    """The same; the name itself where nobody knows."""
    return known_vietnamese(name) or name
