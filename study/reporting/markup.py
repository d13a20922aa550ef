"""Elements of a page, put together so that no text in them can be taken for markup."""

import re
from html import escape


class Html(str):
    """Text that is HTML already; every other string is escaped where it is put into an element."""


BREAK = Html("<br>")


def element(name: str, *children, **attributes) -> Html:
    """`<name attributes>children</name>`; class_ and data_x are written class and data-x, None leaves one out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items() if value is not None
    )
    return Html(f"<{name}{written}>{joined(*children)}</{name}>")


def joined(*children) -> Html:
    return Html(
        "".join(
            child if isinstance(child, Html) else joined(*child) if isinstance(child, list) else escape(str(child))
            for child in children
        )
    )


def table(caption: str, head: list, rows: list[list], **attributes) -> Html:
    """A table whose first column names the row; the head is repeated on each cell for narrow screens. What a row has
    beyond the head stands below it, across all columns."""
    titles = element("thead", element("tr", [element("th", title, scope="col") for title in head]))
    body = element("tbody", [line(head, row) for row in rows])
    return element(
        "div",
        element("table", element("caption", caption), titles, body, **attributes),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label=caption,
    )


def line(head: list, row: list) -> Html:
    cells = [element("td", cell, data_head=title, class_=shape(cell)) for title, cell in zip(head[1:], row[1:])]
    below = [element("tr", element("td", more, colspan=len(head)), class_="below") for more in row[len(head) :]]
    return joined(element("tr", element("th", row[0], scope="row"), cells), below)


def cards(caption: str, head: list, rows: list[list], also: str = "") -> Html:
    """A table whose rows become cards on a narrow screen; nothing where there are no rows."""
    return table(caption, head, rows, class_=f"cards {also}".strip()) if rows else Html("")


def shape(cell: str) -> str | None:
    """How a cell behaves where rows become cards: left out when empty, on a line of its own when long."""
    if re.sub("<[^>]*>", "", cell) == "–":
        return "empty"
    return "wide" if len(cell) > 60 and "forest" not in cell else None
