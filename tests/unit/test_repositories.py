"""The repository of a folder, from the `.git` in it and in its parents."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from threading import Event
from threading import enumerate as enumerate_threads

import pytest

from claude_force.ingest.repositories import GONE, find_repositories


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for repositories, and a home folder elsewhere."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    return (tmp_path / "work").resolve()


def repository(folder: Path) -> Path:
    """A folder with a git folder."""
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    return folder


def git_file(folder: Path, target: object) -> Path:
    """A folder with a `.git` file."""
    folder.mkdir(parents=True)
    (folder / ".git").write_text(f"gitdir: {target}\n")
    return folder


def found(*folders: Path, known: tuple[Path, ...] = ()) -> list[Path | None]:
    """The repository of each folder; None for one that is gone."""
    roots = find_repositories(map(str, folders), set(map(str, known)), patience_s=60)
    return [None if roots[str(folder)] == GONE else Path(roots[str(folder)]) for folder in folders]


def test_a_repository_and_its_subfolders(root: Path) -> None:
    """A subfolder belongs to the nearest parent that has a git folder, also when it is gone."""
    shop, inner = repository(root / "shop"), repository(root / "shop" / "vendor" / "inner")
    (shop / "src" / "api").mkdir(parents=True)
    assert found(shop, shop / "src" / "api", shop / "gone" / "deep", inner, inner / "lib") == [shop] * 3 + [inner] * 2


def test_worktrees_belong_to_their_repository(root: Path) -> None:
    """Wherever they are; the folder that the file points to need not be there."""
    shop = root / "shop"
    shop.mkdir()
    beside = git_file(root / "shop-feat-a", shop / ".git" / "worktrees" / "shop-feat-a")
    inside = git_file(shop / ".claude" / "worktrees" / "quiet-otter", "../../../.git/worktrees/quiet-otter")
    (beside / "src").mkdir()
    assert found(beside, inside, beside / "src", shop, shop / "src") == [shop] * 5


def test_a_worktree_proves_the_repository_that_is_below_another(root: Path) -> None:
    """Then its subfolders are not those of a repository further up, whichever is looked at first."""
    repository(root)
    shop = root / "shop"
    shop.mkdir()
    beside = git_file(root / "shop-feat-a", shop / ".git" / "worktrees" / "shop-feat-a")
    assert found(shop / "src", shop, beside, root / "other") == [shop, shop, shop, root]


def test_worktrees_of_git_itself(root: Path) -> None:
    """What `git worktree add` and `git clone --bare` write."""

    def git(folder: Path, *arguments: str) -> None:
        own = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main")
        subprocess.run(["git", *own, *arguments], cwd=folder, check=True, capture_output=True)

    shop, bare = root / "shop", root / "shop.git"
    shop.mkdir()
    git(shop, "init")
    git(shop, "commit", "--allow-empty", "-m", "one")
    git(shop, "worktree", "add", "../shop-feat-a")
    git(root, "clone", "--bare", "shop", "shop.git")
    git(bare, "worktree", "add", "../from-bare", "main")
    assert found(shop, root / "shop-feat-a", root / "from-bare", bare) == [shop, shop, bare, bare]


TARGETS = {
    "a worktree of a bare repository": ("{root}/shop.git/worktrees/a", "shop.git"),
    "a worktree of a bare repository in a hidden folder": ("{root}/shop/.bare/worktrees/a", "shop"),
    "a submodule": ("../shop/.git/modules/tree", "tree"),
    "a worktree of a submodule": ("{root}/shop/.git/modules/libs/worktrees/a", "shop/libs"),
    "a worktree of a nested submodule": ("{root}/shop/.git/modules/libs/modules/core/worktrees/a", "shop/libs/core"),
    "a git folder elsewhere": ("{root}/elsewhere/tree.git", "tree"),
}


@pytest.mark.parametrize("case", TARGETS)
def test_what_a_git_file_points_to(case: str, root: Path) -> None:
    """Only a worktree belongs to another folder; a submodule is a repository of its own."""
    target, expected = TARGETS[case]
    tree = git_file(root / "tree", target.format(root=root))
    assert found(tree) == [root / expected]


def test_a_worktree_of_windows(root: Path) -> None:
    """Its path is kept as it is, since it is no path of this machine."""
    tree = git_file(root / "tree", "C:/Users/x/shop/.git/worktrees/tree")
    assert find_repositories([str(tree)]) == {str(tree): "C:/Users/x/shop"}


def test_a_folder_in_no_repository_is_itself(root: Path) -> None:
    """An empty `.git`, a broken one and one that is neither file nor folder are none."""
    (root / "empty" / ".git").mkdir(parents=True)
    (root / "broken").mkdir()
    (root / "broken" / ".git").write_bytes(b"gitdir: \xff\xfe")
    (root / "other").mkdir()
    (root / "other" / ".git").write_text("something else")
    (root / "pipe").mkdir()
    os.mkfifo(root / "pipe" / ".git")
    folders = [root / "empty", root / "broken", root / "other", root / "pipe", root]
    assert found(*folders) == list(folders)


def test_a_folder_that_is_gone(root: Path) -> None:
    """Its path may say what it was, and so may a repository that is known; otherwise nothing is known of it."""
    gone = root / "gone"
    assert found(gone / "shop" / ".claude" / "worktrees" / "quiet-otter" / "src") == [gone / "shop"]
    assert found(gone / "shop" / "src", known=(gone / "shop",)) == [gone / "shop"]
    assert found(gone / "shop" / "src", gone) == [None, None]


def test_a_folder_that_was_gone_is_looked_at_when_it_is_back(root: Path) -> None:
    """Until then nothing is said of it."""
    shop = root / "shop"
    assert find_repositories([], gone=[str(shop)]) == {}
    repository(shop)
    assert find_repositories([], gone=[str(shop)]) == {str(shop): str(shop)}


def test_a_home_folder_is_not_the_project_of_everything(tmp_path: Path) -> None:
    """Also if it is a repository; a worktree of it and the folder itself still belong to it."""
    home = repository(tmp_path.resolve() / "home")
    (home / "notes").mkdir()
    tree = git_file(home / "tree", home / ".git" / "worktrees" / "tree")
    assert found(home, home / "notes", home / "notes" / "deep", tree) == [home, home / "notes", None, home]
    assert found(home / "notes", known=(home,)) == [home / "notes"]


def test_a_link_leads_to_the_repository(root: Path) -> None:
    """The real folder is the project, by whichever way it was entered."""
    shop = repository(root / "shop")
    (shop / "src").mkdir()
    (root / "link").symlink_to(shop)
    (root / "circle").symlink_to(root / "circle")
    assert found(root / "link", root / "link" / "src", shop) == [shop] * 3
    assert found(root / "circle") == [None]


def test_what_is_no_folder_of_this_machine() -> None:
    """Is not looked for: names, folders of Windows, and what no file system takes."""
    names = ["shop", "", "C:\\Users\\x", "\\\\server\\share", "//server/share", "/\0"]
    assert find_repositories(names) == {}
    impossible = "/" + "x" * 5000
    assert find_repositories([impossible]) == {impossible: GONE}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(root: Path) -> None:
    """Is passed over."""
    shop = repository(root / "closed" / "shop")
    (root / "closed").chmod(0)
    try:
        assert found(shop) == [None]
    finally:
        (root / "closed").chmod(0o700)


def test_a_disk_that_does_not_answer(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search gives up, and the pass goes on."""
    shop, answered = repository(root / "shop"), Event()

    def hang(_: object) -> str:
        answered.wait()
        return str(shop)

    with monkeypatch.context() as patched:
        patched.setattr(os.path, "realpath", hang)
        assert find_repositories([str(shop)], patience_s=0.01) == {}
        (waiting,) = [thread for thread in enumerate_threads() if thread.name == "find repositories"]
        assert find_repositories([str(shop)]) == {}
        answered.set()
        waiting.join()
    assert found(shop) == [shop]
