"""Archives: the good ones unpack, the bad ones leave nothing behind, inside or outside."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from crgan.common.errors import UserError
from crgan.common.io import sha256_file
from crgan.data.acquire import acquire
from crgan.data.unpack import Limits, unpack

FILES = {"set/train/a.jpg": b"aaa" * 100, "set/query/b.jpg": b"b", "set/readme": b""}


def make_zip(path: Path, members: dict[str, bytes], **attributes: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.filename = info.orig_filename = name  # keep what ZipInfo would clean up
            info.compress_type = zipfile.ZIP_DEFLATED
            for key, value in attributes.items():
                setattr(info, key, value)
            file.writestr(info, data)
    return path


def make_tar(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def make_special(path: Path, kind: bytes, link: str = "") -> Path:
    with tarfile.open(path, "w") as file:
        info = tarfile.TarInfo("set/link")
        info.type, info.linkname = kind, link
        file.addfile(info)
        data = tarfile.TarInfo("set/link/x")
        data.size = 1
        file.addfile(data, io.BytesIO(b"x"))
    return path


def assert_refused(archive: Path, message: str, limits: Limits | None = None) -> None:
    """Refused with that message, and nothing new anywhere around."""
    around = archive.parent
    before = sorted(around.rglob("*"))
    with pytest.raises(UserError, match=message) as caught:
        unpack(archive, around / "deep" / "out", limits)
    assert str(archive) in str(caught.value)
    assert sorted(around.rglob("*")) in (before, sorted([*before, around / "deep"]))
    assert not list((around / "deep").iterdir())


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.zip", ""), ("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tar.xz", "w:xz"), ("a.tgz", "w:gz")],
)
def test_good_archives(tmp_path: Path, name: str, mode: str) -> None:
    path = tmp_path / name
    archive = make_tar(path, FILES, mode) if mode else make_zip(path, FILES)
    folder = unpack(archive, tmp_path / "out")
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    assert {key: p.read_bytes() for key, p in found.items()} == FILES
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "out"])


@pytest.mark.parametrize(
    "name",
    ["../evil", "set/../../evil", "/evil", "C:/evil", "set\\..\\..\\evil", "..", "./../evil"],
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_lead_outside(tmp_path: Path, name: str, kind: str) -> None:
    members = {"set/a.jpg": b"x", name: b"evil"}
    make = make_zip if kind == "zip" else make_tar
    assert_refused(make(tmp_path / f"a.{kind}", members), "outside its folder")


@pytest.mark.parametrize(
    ("kind", "link"),
    [
        (tarfile.SYMTYPE, "/etc"),
        (tarfile.SYMTYPE, "../.."),
        (tarfile.LNKTYPE, "/etc/passwd"),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.FIFOTYPE, ""),
    ],
)
def test_links_and_devices_in_tars(tmp_path: Path, kind: bytes, link: str) -> None:
    assert_refused(make_special(tmp_path / "a.tar", kind, link), "link or device")


def test_links_in_zips(tmp_path: Path) -> None:
    link = make_zip(tmp_path / "a.zip", {"set/link": b"/etc"}, external_attr=0o120777 << 16)
    assert_refused(link, "'set/link' is a link or device")


def test_executables_lose_their_rights(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"x.sh": b"x"}, external_attr=0o104755 << 16)
    assert not (unpack(archive, tmp_path / "out") / "x.sh").stat().st_mode & 0o7111


def test_bombs(tmp_path: Path) -> None:
    limits = Limits(total_bytes=100_000, members=10)
    big = {"a": bytes(60_000), "b": bytes(60_000)}
    for archive in (make_zip(tmp_path / "a.zip", big), make_tar(tmp_path / "a.tar.gz", big)):
        assert archive.stat().st_size < 2000
        assert_refused(archive, "more than 100,000 bytes", limits)
    many = make_zip(tmp_path / "b.zip", {f"f{i}": b"" for i in range(11)})
    assert_refused(many, "more than 10 members", limits)


def test_a_zip_that_lies_about_its_size(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"a": bytes(50_000)})
    raw = bytearray(archive.read_bytes())
    directory = raw.index(b"PK\x01\x02")
    raw[directory + 24 : directory + 28] = (10).to_bytes(4, "little")  # uncompressed size
    archive.write_bytes(raw)
    assert_refused(archive, "damaged archive")


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz", "tar"])
def test_damaged_archives(tmp_path: Path, kind: str) -> None:
    noise = bytes((i * 7919) % 251 for i in range(90_000))
    members = {"a": noise, "b": noise[::-1]}
    path = tmp_path / f"a.{kind}"
    mode = {"tar.gz": "w:gz", "tar.xz": "w:xz", "tar": "w"}.get(kind)
    whole = (make_tar(path, members, mode) if mode else make_zip(path, members)).read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert_refused(path, "damaged archive")
    if kind != "tar":  # a plain tar has no checksum over its contents
        broken = bytearray(whole)
        broken[len(whole) // 2] ^= 255
        path.write_bytes(broken)
        assert_refused(path, "damaged archive")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_member_far_larger_than_its_archive(tmp_path: Path, kind: str) -> None:
    limits = Limits(ratio=2)
    members = {"set/a": bytes(3 << 20)}
    make = make_zip if kind == "zip" else make_tar
    assert_refused(make(tmp_path / f"a.{kind}", members), "more than 2,097,152 bytes", limits)


def test_a_zip_made_on_windows(tmp_path: Path) -> None:
    members = {"set\\train\\": b"", "set\\train\\a.jpg": b"a", "set\\query\\b.jpg": b"b"}
    folder = unpack(make_zip(tmp_path / "a.zip", members), tmp_path / "out")
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert found == {"set/train/a.jpg", "set/query/b.jpg"}
    assert (folder / "set/train").is_dir()


def test_a_zip_with_a_zero_byte_in_a_name(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"a_b.jpg": b"x"})
    archive.write_bytes(archive.read_bytes().replace(b"a_b.jpg", b"a\0b.jpg"))
    assert_refused(archive, "outside its folder")


def test_a_tar_whose_folder_holds_itself(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        for name in (".", "./set"):
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE
            file.addfile(info)
    assert (unpack(tmp_path / "a.tar", tmp_path / "out") / "set").is_dir()


def test_twice_the_same_name_and_empty(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        for name in ("a", "a"):
            file.addfile(tarfile.TarInfo(name))
    assert_refused(tmp_path / "a.tar", "'a' stands in it twice")
    assert_refused(make_tar(tmp_path / "b.tar", {"a": b"", "a/b": b""}, "w"), "as file and folder")
    assert_refused(make_zip(tmp_path / "c.zip", {}), "is empty")


def test_encrypted_zip(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"a": b"x"})
    raw = bytearray(archive.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(raw)
    assert_refused(archive, "encrypted")


def test_acquire_a_folder_a_mat_and_an_archive(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    assert acquire("market1501", tmp_path, raw) == tmp_path
    mat = tmp_path / "cuhk-03.mat"
    mat.write_bytes(b"x")
    assert acquire("cuhk03", mat, raw) == mat
    assert not raw.exists()
    archive = make_zip(tmp_path / "Market-1501-v15.09.15.zip", FILES)
    sha256 = sha256_file(archive)
    folder = acquire("market1501", archive, raw, sha256)
    assert folder == raw / f"Market-1501-v15-{sha256[:12]}"
    assert (folder / "set/query/b.jpg").read_bytes() == b"b"
    (folder / "mark").touch()
    assert acquire("market1501", archive, raw) == folder
    assert (folder / "mark").exists()  # not unpacked a second time
    make_zip(archive, FILES | {"new": b""})
    assert acquire("market1501", archive, raw) != folder


def test_acquire_says_what_is_wrong_and_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"withdrew it in 2019 .* copy you already hold"):
        acquire("dukemtmc", "https://example.org/duke.zip", tmp_path, "0" * 64)
    for layout, how in [
        ("market1501", "Market-1501-v15.09.15.zip"),
        ("dukemtmc", "withdrawn by its authors"),
        ("cuhk03", "on request from its authors"),
        ("folder", "<site>/<camera>"),
    ]:
        with pytest.raises(UserError, match=f"nowhere: not there. How to get it: .*{how}"):
            acquire(layout, tmp_path / "nowhere", tmp_path)
    (tmp_path / "a.rar").write_bytes(b"x")
    with pytest.raises(UserError, match="neither a folder"):
        acquire("market1501", tmp_path / "a.rar", tmp_path)
    archive = make_zip(tmp_path / "a.zip", FILES)
    with pytest.raises(UserError, match=r"sha256 is .*, expected 1{64}"):
        acquire("market1501", archive, tmp_path, "1" * 64)
    with pytest.raises(UserError, match="give its sha256"):
        acquire("market1501", "https://example.org/m.zip", tmp_path)
