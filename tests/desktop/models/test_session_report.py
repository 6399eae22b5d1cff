"""The report of a session as a page."""

from __future__ import annotations

from html.parser import HTMLParser

from napari_cryomamba.models.session_report import JobReport, LabelVolume, Picture, TomogramReport, session_report


class Page(HTMLParser):
    """Collects a page's tags, texts and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def page(*jobs: JobReport, name: str = "t.mrc") -> Page:
    tomogram = TomogramReport(name, (10, 20, 30), (10.0, 10.0, 20.0), "/data/t.mrc", list(jobs))
    return Page(session_report("A session", [("Program", "CryoMamba")], [tomogram]))


def test_volumes_are_in_cubic_nanometres() -> None:
    """Voxels times the voxel size: 5000 voxels of 10 × 10 × 20 Å are 10,000 nm³."""
    found = page(JobReport("membrane", "Completed", [], labels=[LabelVolume(1, "membrane", "#ff0000", 5000)]))
    at = found.texts.index("5,000")
    assert "10,000" in found.texts[at:]
    assert "10.000 × 10.000 × 20.000 Å (z, y, x)" in found.texts


def test_texts_of_files_and_people_are_no_markup() -> None:
    """Whatever a file, a label or an error is called, it is shown as it is and makes no element."""
    evil = "<script>alert('x')</script>"
    job = JobReport(evil, evil, [(evil, evil)], [evil], evil, [LabelVolume(1, evil, "#000000", 1)])
    found = page(job, name=evil)
    assert "script" not in found.tags
    assert sum(evil in text for text in found.texts) == 7


def test_the_page_needs_no_other_file() -> None:
    """The only source of anything is a picture within the page."""
    found = page(JobReport("membrane", "Completed", [], picture=Picture(b"\x89PNG", 4)))
    assert len(found.links) == 1
    assert found.links[0].startswith("data:image/png;base64,")
    assert "Section 4 along z, with the mask." in found.texts
