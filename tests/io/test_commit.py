"""Publishing: whole or not at all, whatever fails and whichever process writes too."""

import contextlib
import errno
import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from bridgeflow.errors import DataError
from bridgeflow.io import publish
from bridgeflow.io.commit import BeingWritten, owned, remove_leftovers, seal, unseal


def put(path, content, **options):
    with publish(path, **options) as output:
        output.file.write(content)
    return output.receipt


def overtaken(path):
    with publish(path) as output:
        output.file.write(b"ours")
        path.write_bytes(b"theirs")


def test_the_receipt_tells_what_is_on_disk(tmp_path):
    receipt = put(tmp_path / "new" / "folder" / "a", b"content")
    assert (receipt.nbytes, receipt.sha256) == (7, hashlib.sha256(b"content").hexdigest())
    assert receipt.path.read_bytes() == b"content"
    assert [entry.name for entry in receipt.path.parent.iterdir()] == ["a"]


def test_nothing_is_visible_before_the_end(tmp_path):
    with publish(tmp_path / "a") as output:
        output.file.write(b"half")
        output.file.flush()
        assert not (tmp_path / "a").exists()


def test_an_existing_file_is_kept_unless_asked(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(DataError, match="exists already; pass --overwrite"):
        put(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    put(tmp_path / "a", b"new", overwrite=True)
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    with pytest.raises(DataError, match="exists already"):
        overtaken(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"theirs"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_a_dangling_link_and_a_folder_are_something(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match="exists already"):
        put(tmp_path / "link", b"x")
    with pytest.raises(DataError, match="is a folder"):
        put(tmp_path, b"x", overwrite=True)


def test_overwriting_a_link_replaces_the_link_not_its_target(tmp_path):
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    put(tmp_path / "link", b"new", overwrite=True)
    assert (tmp_path / "target").read_bytes() == b"precious"
    assert (tmp_path / "link").read_bytes() == b"new"


def test_two_writers_of_one_file(tmp_path):
    with publish(tmp_path / "a") as output:
        output.file.write(b"first")
        with pytest.raises(DataError, match="is being written by another run"):
            put(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"


@pytest.mark.parametrize("call", ["fsync", "link", "unlink"])
def test_a_failing_call_leaves_the_old_state(tmp_path, monkeypatch, call):
    def fail(*args, **kwargs):
        monkeypatch.undo()
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="Input/output error"):
        put(tmp_path / "a", b"content")
    monkeypatch.undo()
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} in ({}, {"a": b"content"})


def test_without_hard_links_it_still_refuses_to_replace(tmp_path, monkeypatch):
    def no_links(*args, **kwargs):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    put(tmp_path / "a", b"content")
    with pytest.raises(DataError, match="exists already"):
        overtaken(tmp_path / "b")
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"a": b"content", "b": b"theirs"}


def test_a_killed_writer_leaves_no_file_and_no_obstacle(tmp_path):
    script = textwrap.dedent("""
        import sys, time
        from bridgeflow.io import publish
        with publish(sys.argv[1]) as output:
            output.file.write(b"x" * 100_000)
            output.file.flush()
            print("writing", flush=True)
            time.sleep(60)
    """)
    writer = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "a")], stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"writing\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    assert not (tmp_path / "a").exists()
    assert put(tmp_path / "a", b"content").nbytes == 7
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_outside_the_roots_nothing_is_made(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "way_out").symlink_to(tmp_path)
    for path in (tmp_path / "new" / "a", inside / ".." / "a", inside / "way_out" / "new" / "a"):
        with pytest.raises(DataError, match="lies outside of"):
            put(path, b"x", roots=(inside,))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["inside"]
    put(inside / "new" / "a", b"x", roots=(inside,))


# --- the same bytes again ---


def test_the_same_bytes_are_no_conflict(tmp_path):
    receipt = put(tmp_path / "a", b"content")
    before = (tmp_path / "a").stat().st_ino
    assert put(tmp_path / "a", b"content", overwrite="same") == receipt
    assert (tmp_path / "a").stat().st_ino != before  # the bytes that were just synced, not those that may be lost
    with pytest.raises(DataError, match="exists already and holds other bytes"):
        put(tmp_path / "a", b"contents", overwrite="same")
    assert (tmp_path / "a").read_bytes() == b"content"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_a_writer_killed_with_both_names_does_not_cost_the_result(tmp_path):
    """Between link and unlink the neighbour is the result: writing to it would tear what readers see."""
    put(tmp_path / "a", b"old content")
    os.link(tmp_path / "a", tmp_path / ".a.part")
    with publish(tmp_path / "a", overwrite=True) as output:
        output.file.write(b"new")
        output.file.flush()
        assert (tmp_path / "a").read_bytes() == b"old content"
    assert (tmp_path / "a").read_bytes() == b"new"


# --- folders ---


def test_a_folder_has_one_owner_who_is_named(tmp_path):
    with owned(tmp_path / "out"):
        with pytest.raises(DataError, match=rf"is being written by another run \(process {os.getpid()}\)"):
            owned(tmp_path / "out").__enter__()
        assert (tmp_path / "out" / ".lock").read_text() == f"{os.getpid()}\n"
    assert not (tmp_path / "out").exists()  # nothing was put into it
    with owned(tmp_path / "out"):
        (tmp_path / "out" / "a").touch()
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["a"]


def test_leftovers_of_a_killed_run_go(tmp_path):
    (tmp_path / ".a.part").write_bytes(b"half")
    (tmp_path / ".lock").write_text("123\n")
    (tmp_path / "a").write_bytes(b"whole")
    with owned(tmp_path):
        remove_leftovers(tmp_path)
        assert sorted(entry.name for entry in tmp_path.iterdir()) == [".lock", "a"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_what_a_process_is_writing_is_not_left_over(tmp_path):
    with publish(tmp_path / "a") as output:
        output.file.write(b"slow")
        (tmp_path / ".b.part").symlink_to("a")
        remove_leftovers(tmp_path)
        assert [entry.name for entry in tmp_path.iterdir()] == [".a.part"]
        with pytest.raises(BeingWritten, match="a: is being written by another run"):
            publish(tmp_path / "a").__enter__()
    assert (tmp_path / "a").read_bytes() == b"slow"


def test_owners_come_and_go_one_at_a_time(tmp_path):
    """Threads that fight for a folder: two are never in it together, whatever happens to the lock file meanwhile."""
    inside, seen = [], []

    def fight():
        for _ in range(200):
            with contextlib.suppress(DataError), owned(tmp_path):
                inside.append(1)
                seen.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=fight) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) == {1}
    assert list(tmp_path.iterdir()) == []


# --- records ---


def test_a_sealed_record_tells_when_any_byte_of_it_was_changed():
    sealed = seal({"b": 1, "a": {"rows": [1, 2]}, "text": "µV"})
    assert unseal(sealed, "r") == {"b": 1, "a": {"rows": [1, 2]}, "text": "µV"}
    assert seal({"text": "µV", "a": {"rows": [1, 2]}, "b": 1}) == sealed
    for end in range(len(sealed) - 2):
        with pytest.raises(DataError, match=r"log/a.json: is damaged"):
            unseal(sealed[:end], "log/a.json")
    for place in range(0, len(sealed), 3):
        flipped = bytearray(sealed)
        flipped[place] ^= 0x10
        with contextlib.suppress(DataError):
            assert unseal(bytes(flipped), "r") == unseal(sealed, "r")  # white space means nothing


def test_folders_that_were_made_for_an_output_that_fails_are_removed_again(tmp_path):
    def fail():
        with publish(tmp_path / "a" / "b" / "c.npy"):
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine").write_bytes(b"")
    with pytest.raises(ValueError, match="no"):
        fail()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["mine"]
