"""etcd with TLS, client certificates, users and roles as mcsd-fleet(8) has them: who may do what there.

The commands are the manual's own. One etcd serves most tests; those that change how it works have their own.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from mcsd.adapters.fleet.service_store import ServiceStore
from mcsd.app.wiring import FleetSide
from mcsd.cli.main import main as mcsctl
from mcsd.control.fleet_keeper import FleetKeeper
from mcsd.core.allocation import Holder, HolderKind
from mcsd.core.fleet.blocks import HIGHEST
from mcsd.core.fleet.holding import block_in
from mcsd.core.fleet.protocol import Trouble, View
from mcsd.core.fleet.values import FLEET, Document, FleetGroup, Swap, document_key, fence_key
from mcsd.errors import ExhaustedError, FleetError
from mcsd.fleet.etcd import EtcdStore
from tests.fakes.world import World
from tests.host.certificates import Authority
from tests.host.fleet_site import HOSTS, ROOT, RefusedCommandError, Site, site

pytestmark = pytest.mark.host

REPOSITORY = Path(__file__).parents[2]
OWN = (fence_key("alpha"), document_key("alpha"))
SMALL = 16 * 2**20
"""Bytes that a small etcd may have."""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The etcd that most tests use, set up by the manual."""
    with site(tmp_path_factory.mktemp("fleet")) as one:
        one.set_up()
        yield one


@pytest.fixture(autouse=True)
def _empty(request: pytest.FixtureRequest) -> Iterator[None]:
    """Remove what a test has written into the common etcd."""
    yield
    if "town" in request.fixturenames:
        one: Site = request.getfixturevalue("town")
        with one.store("admin") as store:
            store.swap(Swap({}, dict.fromkeys(store.read().values)))


def administer(one: Site, *words: str, user: str = "admin") -> int:
    """Type a command of mcsctl's with a user's access; return its exit status."""
    return mcsctl(["fleet", *words, "--config", str(one.config(user))])


# --- who may do what -------------------------------------------------------------------------------------


def test_a_host_reads_everything_and_writes_its_two_keys(town: Site) -> None:
    with town.store("admin") as admin, town.store("alpha") as alpha:
        admin.swap(Swap({}, {FLEET: "f", fence_key("beta"): "b", document_key("beta"): "d"}))
        known = {FLEET: "f", fence_key("beta"): "b", document_key("beta"): "d"}
        assert alpha.read().values == known
        assert alpha.swap(Swap(known, dict.fromkeys(OWN, "mine"))), "others' keys may be conditions"
        assert alpha.read().values == known | dict.fromkeys(OWN, "mine")
        assert not alpha.swap(Swap({FLEET: "other"}, {OWN[0]: "too late"}))


@pytest.mark.parametrize("value", ["written", None], ids=["write", "remove"])
@pytest.mark.parametrize(
    "key",
    [FLEET, fence_key("beta"), document_key("beta"), fence_key("alphabet"), f"{OWN[0]}/more", "anything"],
)
def test_a_host_writes_nothing_else(town: Site, key: str, value: str | None) -> None:
    with town.store("admin") as admin, town.store("alpha") as alpha:
        admin.swap(Swap({}, {key: "as it was"}))
        before = alpha.read()
        for writes in ({key: value}, {OWN[1]: "mine", key: value}):
            with pytest.raises(FleetError, match=r"etcd refuses: .*'alpha' may not do this") as refused:
                alpha.swap(Swap({}, writes))
            assert refused.value.hint == "see the roles in mcsd-fleet(8)"
        assert alpha.read() == before, "nothing of either was done"


def test_a_host_reads_nothing_but_mcsd_s(town: Site) -> None:
    with town.store("alpha", prefix="/other/") as alpha, pytest.raises(FleetError, match="may not do this"):
        alpha.read()


@pytest.mark.parametrize(
    "command",
    [
        "etcdctl user add another",
        "etcdctl role grant-permission mcsd-alpha readwrite /mcsd/fleet",
        "etcdctl user grant-role alpha mcsd-beta",
        "etcdctl auth disable",
        "etcdctl member add two --peer-urls=http://127.0.0.1:1",
        "etcdctl snapshot save /dev/null",
    ],
)
def test_a_host_administers_nothing_of_etcd_s(town: Site, command: str) -> None:
    with pytest.raises(RefusedCommandError, match="permission denied"):
        town.type(command, "alpha")


def test_an_administrator_founds_a_fleet_admits_and_evicts(
    town: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert administer(town, "init", "alpha", user="alpha") != 0
    assert "'alpha' may not do this" in capsys.readouterr().err
    assert administer(town, "init", "alpha") == 0
    assert administer(town, "admit", "beta") == 0
    for words in (("admit", "gamma"), ("evict", "beta", "--gone"), ("recover",)):
        assert administer(town, *words, user="alpha") != 0
        assert "hint: see the roles in mcsd-fleet(8)" in capsys.readouterr().err
    with town.store("beta") as beta:
        beta.swap(Swap({}, {fence_key("beta"): "b", document_key("beta"): Document().text()}))
    assert administer(town, "evict", "beta", "--gone") == 0
    with town.store("alpha") as alpha:
        assert list(alpha.read().values) == [FLEET], "what the host had written is gone with it"


# --- who is not known ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told", "hint"),
    [
        ({"certificate": None, "key": None}, "the connection broke", "certificate and key"),
        (
            {"certificate": "stranger.pem", "key": "stranger.key"},
            "the connection broke",
            "certificate and key",
        ),
        ({"key": "stranger.key"}, "key values mismatch", "certificate and key"),
        ({"ca": "other-ca.pem"}, "its certificate does not hold: unable to get", "see ca"),
        ({"ca": None}, "its certificate does not hold: unable to get", "see ca"),
        (
            {"endpoints": "localhost"},
            "its certificate does not hold: Hostname mismatch",
            "certificate is for",
        ),
        ({"endpoints": "plain"}, "the connection broke|etcd refuses", "endpoints|etcdctl endpoint status"),
        ({"password_file": "wrong"}, "'alpha' and the password are not etcd's", "user and password_file"),
        ({"user": "nobody"}, "'nobody' and the password are not etcd's", "user and password_file"),
        ({"user": None, "password_file": None}, "etcd wants a user", "set user and password_file"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_whoever_does_not_prove_who_it_is_is_told_why(
    town: Site, changes: dict[str, str | None], told: str, hint: str
) -> None:
    other = Authority.create(town.folder, "other-ca")
    other.sign("stranger", "clientAuth")
    (town.folder / "wrong").write_text("guessed\n")
    port = town.etcd.client.rpartition(":")[2]
    endpoints = {"localhost": [f"https://localhost:{port}"], "plain": [f"http://127.0.0.1:{port}"]}
    files = {"certificate", "key", "ca", "password_file"}
    written: dict[str, object] = {
        key: endpoints[value]
        if key == "endpoints" and value
        else str(town.folder / value)
        if key in files and value
        else value
        for key, value in changes.items()
    }
    with town.store("alpha", **written) as store:
        with pytest.raises(FleetError, match=told) as refused:
            store.read()
        with pytest.raises(FleetError, match=told):
            store.swap(Swap({}, {OWN[0]: "x"}))
    assert town.etcd.client.rpartition(":")[2] in refused.value.what
    assert any(part in refused.value.hint for part in hint.split("|")), refused.value.hint


def test_the_service_passes_on_why(town: Site) -> None:
    """mcsd-fleet itself, with a fleet.toml as the manual has it, and with a password that is wrong."""
    (town.folder / "wrong").write_text("guessed\n")
    socket = town.folder / "s"
    for changes in ({}, {"password_file": str(town.folder / "wrong")}):
        socket.unlink(missing_ok=True)
        config = town.config("alpha", **changes)
        words = ("-m", "mcsd.fleet.main", "--config", str(config), "--socket", str(socket))
        with subprocess.Popen([sys.executable, *words], cwd=REPOSITORY, stderr=subprocess.PIPE) as service:
            try:
                wait_until(socket.exists)
                store = ServiceStore(str(socket), deadline=60)
                if not changes:
                    assert store.swap(Swap({}, {OWN[0]: "x"})) and store.read().values == {OWN[0]: "x"}
                    continue
                with pytest.raises(FleetError, match="the password are not etcd's") as refused:
                    store.read()
                assert refused.value.hint == "see user and password_file in fleet.toml"
            finally:
                service.kill()
                assert service.stderr is not None
                said = service.stderr.read().decode()
    assert "are not etcd's (see user and password_file in fleet.toml)" in said, "the journal has it as well"


def test_a_certificate_of_etcd_s_that_is_for_servers_alone_is_told(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match="its gateway does not reach etcd itself") as refused:  # noqa: SIM117
        with (
            site(tmp_path, usage="serverAuth", is_waited_for=False) as one,
            one.store("alpha", user=None, password_file=None) as store,
        ):
            wait_until(lambda: answers(store))
            store.read()
    assert "mcsd-fleet(8)" in refused.value.hint


def test_users_without_authentication_are_told_what_lacks(tmp_path: Path) -> None:
    with site(tmp_path) as one, one.store("alpha") as store:
        with pytest.raises(FleetError, match="does not tell users apart") as refused:
            store.read()
        assert "etcdctl auth enable" in refused.value.hint


# --- tokens ----------------------------------------------------------------------------------------------


def test_a_token_that_is_too_old_is_asked_for_anew(tmp_path: Path) -> None:
    with site(tmp_path, "--auth-token-ttl", "1") as one:
        one.set_up()
        with one.store("alpha") as store:
            store.read()
            first = store._token
            wait_until(lambda: store.read() and store._token != first, pause=3.0)


def test_a_host_that_is_admitted_leaves_the_others_tokens_alone(tmp_path: Path) -> None:
    """A JSON web token is of one revision of etcd's users and roles, and any change makes it invalid."""
    authority = ("pub-key=token.pem", "priv-key=token.key", "sign-method=RS256", "ttl=1h")
    keys = [f"{name}={tmp_path / file}" for name, file in (part.split("=") for part in authority[:2])]
    for words in (
        ("genrsa", "-out", "token.key", "2048"),
        ("rsa", "-in", "token.key", "-pubout", "-out", "token.pem"),
    ):
        subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)
    with site(tmp_path, "--auth-token", ",".join(("jwt", *keys, *authority[2:]))) as one:
        one.set_up()
        with one.store("alpha") as store:
            store.read()
            one.add_host("delta")
            assert store.read().values == {}
            one.type("etcdctl user delete delta", ROOT)
            assert store.swap(Swap({}, {OWN[0]: "x"}))


# --- what a compromised host can do ----------------------------------------------------------------------


@pytest.fixture
def _turns_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FleetKeeper, "run", lambda _: asyncio.sleep(3600))


class Play:
    """alpha and gamma are mcsd's own hosts, and beta does what it likes with its own user."""

    def __init__(self, one: Site, stack: ExitStack) -> None:
        self.site = one
        self.hosts = {}
        for number, name in enumerate(("alpha", "gamma")):
            fleet = {"name": name, "store": "unix:///run/s", "reserve": 500, "beat": "1h"}
            world = World(fleet=fleet, seed=number)
            world.fleet = FleetSide(stack.enter_context(one.store(name)), f"dmi:{name}")
            self.hosts[name] = world
        self.beta: EtcdStore = stack.enter_context(one.store("beta"))

    @property
    def worlds(self) -> tuple[World, World]:
        return self.hosts["alpha"], self.hosts["gamma"]

    def view(self) -> View:
        view = View.of(self.beta.read())
        assert view is not None
        return view

    def say(self, document: Document | str, generation: int = 1) -> None:
        """Have beta write what it likes, with a fence of its own."""
        alphas = self.view().fences["alpha"]
        text = replace(alphas, generation=generation).text()
        said = document if isinstance(document, str) else document.text()
        assert self.beta.swap(Swap({}, {fence_key("beta"): text, document_key("beta"): said}))

    async def turn(self) -> None:
        for world in self.worlds:
            await keeper(world).turn()


def keeper(world: World) -> FleetKeeper:
    found = world.mcsd.fleet_keeper
    assert found is not None
    return found


def play(town: Site, story: Callable[[Play], Awaitable[None]]) -> None:
    assert administer(town, "init", *HOSTS) == 0

    async def run() -> None:
        with ExitStack() as stack:
            one = Play(town, stack)
            for world in one.worlds:
                await world.boot()
            try:
                await one.turn()
                await story(one)
            finally:
                for world in one.worlds:
                    await world.kill()

    asyncio.run(run())


async def reserved(world: World, name: str, group: str | None = None) -> int | None:
    """Reserve a level, and return the block that its pair is of."""
    return block_in((await world.mcsd.facade.reserve(name, group=group)).level)


@pytest.mark.usefixtures("_turns_by_hand")
def test_claiming_what_others_hold_takes_nothing_from_them(town: Site) -> None:
    async def story(one: Play) -> None:
        held = {name: keeper(world).holding.blocks for name, world in one.hosts.items()}
        everything = frozenset(sorted(held["alpha"] | held["gamma"])) | frozenset(range(50))
        one.say(Document(everything))
        await one.turn()
        for name, world in one.hosts.items():
            assert keeper(world).holding.trouble is None and keeper(world).holding.blocks == held[name]
            assert await reserved(world, "vm") in held[name]
            fill(world)
        await one.turn()
        for name, world in one.hosts.items():
            more = keeper(world).holding.blocks - held[name]
            assert more and not more & everything, "what it says it has is not taken"

    play(town, story)


@pytest.mark.usefixtures("_turns_by_hand")
@pytest.mark.parametrize("said", ["nonsense", Document(doubt="restored")], ids=["nonsense", "doubt"])
def test_what_it_says_keeps_others_from_taking_until_it_is_evicted(town: Site, said: str | Document) -> None:
    async def story(one: Play) -> None:
        one.say(said)
        held = {name: keeper(world).holding.blocks for name, world in one.hosts.items()}
        for world in one.worlds:
            fill(world, left=100)
        await one.turn()
        for name, world in one.hosts.items():
            assert keeper(world).holding.trouble in {Trouble.UNREADABLE, Trouble.DOUBTED}
            assert await reserved(world, "vm") in held[name] and keeper(world).holding.blocks == held[name]
        assert administer(town, "evict", "beta", "--gone") == 0
        await one.turn()
        for name, world in one.hosts.items():
            assert keeper(world).holding.trouble is None and keeper(world).holding.blocks > held[name]

    play(town, story)


@pytest.mark.usefixtures("_turns_by_hand")
def test_in_a_recovery_both_stop_granting_from_what_it_claims(town: Site) -> None:
    async def story(one: Play) -> None:
        alpha, gamma = one.worlds
        held, claimed = keeper(gamma).holding.blocks, keeper(alpha).holding.blocks
        for number in range(100):  # some of each of its blocks: what nothing has is given back
            await reserved(alpha, f"vm-{number}")
        assert administer(town, "recover") == 0
        await one.turn()
        one.say(Document(claimed), generation=one.view().fleet.generation)
        await one.turn()
        assert keeper(alpha).holding.permission.contested == claimed and not keeper(alpha).holding.blocks
        with pytest.raises(ExhaustedError):
            await reserved(alpha, "one-more")
        assert keeper(gamma).holding.blocks == held and await reserved(gamma, "vm") in held
        assert administer(town, "open") == 5, "both say that they have the block"
        assert administer(town, "open", user="beta") != 0
        assert administer(town, "evict", "beta", "--gone") == 0
        await one.turn()
        assert administer(town, "open") == 0
        await one.turn()
        assert all(keeper(world).holding.trouble is None for world in one.worlds)

    play(town, story)


@pytest.mark.usefixtures("_turns_by_hand")
def test_it_makes_no_two_groups_one(town: Site) -> None:
    """A group's pair under another name: a member would reach the volumes of both."""

    async def story(one: Play) -> None:
        alpha, gamma = one.worlds
        await reserved(alpha, "replica", "web")
        (web,) = one.view().documents["alpha"].groups
        one.say(Document(groups=frozenset({FleetGroup("db", web.low, web.high)})))
        for world in (gamma, alpha):
            with pytest.raises(FleetError, match="'db'"):
                await reserved(world, "data", "db")
        one.say(
            Document(
                groups=frozenset({FleetGroup("web", HIGHEST + 1, HIGHEST + 2 + (web.high == HIGHEST + 2))})
            )
        )
        with pytest.raises(FleetError, match="'web'"):
            await reserved(gamma, "other", "web")
        await reserved(alpha, "another", "web")
        assert administer(town, "evict", "beta", "--gone") == 0
        await reserved(gamma, "other", "web")
        assert web in one.view().documents["gamma"].groups

    play(town, story)


@pytest.mark.usefixtures("_turns_by_hand")
def test_when_it_has_filled_etcd_nobody_takes_and_all_go_on(tmp_path: Path) -> None:
    async def story(one: Play) -> None:
        held = {name: keeper(world).holding.blocks for name, world in one.hosts.items()}
        with pytest.raises(FleetError, match="etcd has no space left"):
            for _ in range(2 * SMALL // 2**18):
                one.beta.swap(Swap({}, {document_key("beta"): Document().text() + " " * 2**18}))
        for name, world in one.hosts.items():
            fill(world, left=100)
            with pytest.raises(FleetError, match="etcd has no space left") as refused:
                await keeper(world).turn()
            assert "etcdctl" in refused.value.hint
            assert keeper(world).holding.blocks == held[name] and await reserved(world, "vm") in held[name]

    with site(tmp_path, "--quota-backend-bytes", str(SMALL)) as one:
        one.set_up()
        play(one, story)


def fill(world: World, left: int = 1) -> None:
    """Have somebody hold pairs, until so many are free."""
    allocator = world.mcsd.store.allocator
    while allocator.counts().free > left:
        allocator.take(allocator.choose().level, Holder(HolderKind.PROCESS, "a process"))


def answers(store: EtcdStore) -> bool:
    """Tell whether etcd accepts connections, whatever it answers."""
    try:
        store.read()
    except FleetError as exc:
        return "connection refused" not in exc.what
    return True


def wait_until(is_so: Callable[[], object], *, pause: float = 0.05) -> None:
    """Wait until something is so; a machine may be slow."""
    end = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < end, "it does not come about"
        time.sleep(pause)
