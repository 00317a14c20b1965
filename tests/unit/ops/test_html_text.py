"""HTML descriptions are read as a shopper sees them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ops.catalogue.texts import readable


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("plain, a < b & c", "plain, a < b & c"),
        ("<p>One <b>bold</b> word.</p><p>Two</p>", "One bold word.\nTwo"),
        ("Line<br/>break", "Line\nbreak"),
        ("<ul><li>wool</li><li>warm</li></ul>", "wool\nwarm"),
        ("<style>p {color: red}</style><script>alert(1)</script>Seen", "Seen"),
        ("Fish &amp; chips &eacute;", "Fish & chips é"),
        ("&lt;p&gt;escaped once more&lt;/p&gt;", "escaped once more"),
        ("<p>many\n   spaces\tand\xa0more</p>", "many spaces and more"),
        ("<!-- hidden -->shown", "shown"),
        ("<p>not closed <b>at all", "not closed at all"),
    ],
)
def test_the_text_of_html(html: str, text: str) -> None:
    assert readable(html) == text


@given(st.text(alphabet="<>/&;!-#x abpscriptyle=\"'\n", max_size=60))
def test_nothing_that_looks_like_html_breaks_it(html: str) -> None:
    assert isinstance(readable(html), str)
