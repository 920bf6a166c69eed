"""The contract of `FleetStore`: in memory, in a real etcd, and in one behind the service."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcsd.adapters.fleet.service_store import ServiceStore
from mcsd.core.fleet.values import Swap
from mcsd.errors import FleetError
from mcsd.fleet.etcd import EtcdAccess, EtcdStore
from mcsd.fleet.main import _listening
from mcsd.fleet.server import serve
from mcsd.ports import FleetStore
from tests.contracts.fleet_store import FleetStoreContract
from tests.etcd import Etcd, one_etcd
from tests.fakes.fleet_store import MemoryStore

numbers = iter(range(10**6))


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    with one_etcd(tmp_path_factory.mktemp("etcd")) as running:
        yield running


class LockedStore:
    """An `EtcdStore`, which is for one thread, for several."""

    def __init__(self, store: EtcdStore) -> None:
        self._store, self._lock = store, threading.Lock()

    def read(self) -> object:
        with self._lock:
            return self._store.read()

    def swap(self, swap: Swap) -> bool:
        with self._lock:
            return self._store.swap(swap)


def access(etcd: Etcd, **more: object) -> EtcdAccess:
    """Its own part of the keys for each test; the endpoint before the real one does not answer."""
    endpoints = ("http://127.0.0.1:9", etcd.client)
    return EtcdAccess(endpoints, prefix=f"/test-{next(numbers)}/", **more)  # type: ignore[arg-type]


class TestMemory(FleetStoreContract):
    @pytest.fixture
    def store(self) -> FleetStore:
        return MemoryStore()


class TestEtcd(FleetStoreContract):
    @pytest.fixture
    def store(self, etcd: Etcd) -> Iterator[object]:
        store = EtcdStore(access(etcd))
        yield LockedStore(store)
        store.close()


class TestService(FleetStoreContract):
    @pytest.fixture
    def store(self, etcd: Etcd, tmp_path: Path) -> Iterator[FleetStore]:
        path, store = tmp_path / "store.sock", EtcdStore(access(etcd))
        listening = _listening(path)
        thread = threading.Thread(target=_serve_until_closed, args=(listening, store))
        thread.start()
        yield ServiceStore(str(path), deadline=60)
        listening.shutdown(2)
        thread.join()
        listening.close()
        store.close()


def _serve_until_closed(listening: object, store: EtcdStore) -> None:
    try:
        serve(listening, store)  # type: ignore[arg-type]
    except OSError:
        return  # the test has closed the socket


def test_other_keys_are_no_part_of_the_store(etcd: Etcd) -> None:
    one, other = EtcdStore(access(etcd)), EtcdStore(access(etcd))
    one.swap(Swap({}, {"fleet": "1"}))
    assert other.read().values == {}
    one.close()
    other.close()


def ctl(etcd: Etcd, *words: str) -> None:
    command = ["etcdctl", "--endpoints", etcd.client, *words]
    subprocess.run(command, check=True, capture_output=True, env={"ETCDCTL_API": "3", "PATH": "/usr/bin"})


def test_a_host_s_user_writes_the_host_s_own_keys_only(tmp_path: Path) -> None:
    """The roles of mcsd-fleet(8): what a host that was broken into can write."""
    with one_etcd(tmp_path) as etcd:
        ctl(etcd, "user", "add", "root:secret")
        ctl(etcd, "role", "add", "alpha")
        ctl(etcd, "role", "grant-permission", "alpha", "--prefix=true", "read", "/mcsd/")
        for key in ("/mcsd/hosts/alpha", "/mcsd/state/alpha"):
            ctl(etcd, "role", "grant-permission", "alpha", "readwrite", key)
        ctl(etcd, "user", "add", "alpha:word")
        ctl(etcd, "user", "grant-role", "alpha", "alpha")
        ctl(etcd, "auth", "enable")
        store = EtcdStore(EtcdAccess((etcd.client,), user="alpha", password="word"))
        assert store.read().values == {}
        assert store.swap(Swap({"fleet": None}, {"hosts/alpha": "1", "state/alpha": "2"}))
        for key in ("fleet", "hosts/beta", "state/beta", "hosts/alpha2"):
            with pytest.raises(FleetError):
                store.swap(Swap({}, {key: "3"}))
        assert store.read().values == {"hosts/alpha": "1", "state/alpha": "2"}
        store._token = "forgotten.1"  # as when etcd was restarted: tokens are in its memory
        assert store.swap(Swap({"hosts/alpha": "1"}, {"hosts/alpha": "4"}))
        store.close()
        for user, password in (("alpha", "wrong"), ("", "")):
            stranger = EtcdStore(EtcdAccess((etcd.client,), user=user, password=password))
            with pytest.raises(FleetError):
                stranger.read()
            stranger.close()
