"""UMDL: each update against the dense equations it replaces, the objective, and what it learns."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from crgan.common.errors import UserError
from crgan.common.settings import settings_from
from crgan.data.store import Split
from crgan.handcrafted import umdl
from crgan.handcrafted import umdl_dictionaries as dictionaries
from crgan.handcrafted.base import system
from crgan.handcrafted.umdl_dictionaries import Problem, Weights
from crgan.pipeline import params as parameters

WEIGHTS = Weights(alpha=5.0, beta=0.8, gamma=0.1, source_weight=0.5)
SMALL = {"components": 12, "pca_samples": 20, "shared": 6, "unique": 6, "residual": 6,
         "iterations": 3, "rounds": 2, "scales": 2}  # fmt: skip


def options(**changes: Any) -> dict[str, Any]:
    section = dict(parameters.load()["handcrafted"]["umdl"])
    section.pop("image")
    return {**section, **SMALL, **changes}


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def dense_codes(gram: np.ndarray, products: np.ndarray, laplacian: np.ndarray) -> np.ndarray:
    """A with A (gram + gamma) + alpha L A = products, as one large linear system."""
    n, k = products.shape
    system = np.kron(np.eye(n), gram + WEIGHTS.gamma * np.eye(k))
    system += WEIGHTS.alpha * np.kron(laplacian, np.eye(k))
    return np.linalg.solve(system, products.reshape(-1)).reshape(n, k)


def laplacian_of(w: np.ndarray) -> np.ndarray:
    return np.diag(w.sum(axis=1)) - w


def problem(seed: int = 0) -> tuple[Problem, dictionaries.Dictionaries]:
    rng = np.random.default_rng(seed)
    people = rng.integers(0, 8, 40)
    w = np.triu(rng.random((30, 30)) * (rng.random((30, 30)) < 0.1), 1)
    made = Problem(
        unit(rng.standard_normal((40, 16))), people, unit(rng.standard_normal((30, 16))), WEIGHTS,
        sparse.csr_array(laplacian_of(w + w.T).astype(np.float32)),
    )  # fmt: skip
    return made, dictionaries.random_dictionaries(5, 4, 3, 16, rng)


def test_people_are_coded_as_by_the_dense_graph() -> None:
    rng = np.random.default_rng(0)
    people = np.array([3, 1, 3, 3, 7, 1])
    w = (people[:, None] == people) & ~np.eye(6, dtype=bool)
    basis = rng.standard_normal((4, 9))
    products = rng.standard_normal((6, 4)).astype(np.float32)
    made = dictionaries.code_people(basis @ basis.T, products, people, 5.0, 0.1)
    expected = dense_codes(basis @ basis.T, products, laplacian_of(w.astype(float)))
    np.testing.assert_allclose(made, expected, atol=1e-4)


def test_a_graph_is_coded_as_by_the_dense_system() -> None:
    made, _ = problem()
    rng = np.random.default_rng(1)
    basis = rng.standard_normal((5, 9))
    products = rng.standard_normal((30, 5)).astype(np.float32)
    start = rng.standard_normal((30, 5)).astype(np.float32)
    codes = dictionaries.code_graph(
        basis @ basis.T, products, made.laplacian, 5.0, 0.1, start=start, tolerance=1e-6
    )
    assert made.laplacian is not None
    expected = dense_codes(basis @ basis.T, products, made.laplacian.toarray())
    np.testing.assert_allclose(codes, expected, atol=1e-3)


def test_without_a_graph_codes_are_ridge_codes() -> None:
    rng = np.random.default_rng(1)
    atoms, x = rng.standard_normal((4, 9)), rng.standard_normal((7, 9)).astype(np.float32)
    codes = dictionaries.code_graph(
        atoms @ atoms.T, x @ atoms.T, None, 5.0, 0.1, start=np.zeros((7, 4), np.float32)
    )
    np.testing.assert_allclose(codes, dictionaries.ridge(x, atoms, 0.1), atol=1e-4)
    gradient = (codes @ atoms - x) @ atoms.T + 0.1 * codes
    np.testing.assert_allclose(gradient, 0, atol=1e-4)


def test_a_ridge_code_by_hand() -> None:
    # minimise (3 - 2 a)^2 + 2 a^2: a = 6 / (4 + 2)
    codes = dictionaries.ridge(np.array([[3.0]], np.float32), np.array([[2.0]]), 2.0)
    assert codes[0, 0] == pytest.approx(1)


def test_atoms_are_the_least_squares_where_they_are_short() -> None:
    rng = np.random.default_rng(2)
    codes = rng.standard_normal((50, 3))
    truth = 0.3 * unit(rng.standard_normal((3, 6))).astype(float)
    x = codes @ truth
    start = unit(rng.standard_normal((3, 6))).astype(float)
    atoms = dictionaries.bounded_atoms(
        codes.T @ codes, codes.T @ x, start, tolerance=1e-9, most=500
    )
    np.testing.assert_allclose(atoms, truth, atol=1e-6)


def test_a_long_atom_is_cut_to_length_1() -> None:
    # one atom, code 1: the best is x itself, (3, 4); the nearest of length 1 is (0.6, 0.8)
    atoms = dictionaries.bounded_atoms(
        np.array([[1.0]]), np.array([[3.0, 4.0]]), np.array([[1.0, 0.0]])
    )
    np.testing.assert_allclose(atoms, [[0.6, 0.8]])


def test_an_atom_nobody_uses_stays() -> None:
    start = np.array([[0.0, 1.0], [1.0, 0.0]])
    atoms = dictionaries.bounded_atoms(
        np.diag([1.0, 0.0]), np.array([[0.5, 0.0], [0.0, 0.0]]), start
    )
    np.testing.assert_allclose(atoms, np.array([[0.5, 0.0], [1.0, 0.0]]))


def test_no_update_raises_the_objective() -> None:
    made, d = problem()
    codes = dictionaries.zero_codes(made, d)
    values = [dictionaries.objective(made, d, codes)]
    for _ in range(6):
        for update in (dictionaries.update_codes, dictionaries.update_dictionaries):
            update(made, d, codes)
            values.append(dictionaries.objective(made, d, codes))
    assert all(b <= a * (1 + 1e-5) for a, b in itertools.pairwise(values))
    assert values[-1] < 0.9 * values[1]
    for atoms in (d.shared, d.unique, d.residual_source, d.residual_target):
        assert np.linalg.norm(atoms, axis=1).max() <= 1 + 1e-9


def test_the_objective_by_hand() -> None:
    """One image each, one atom each, all in one dimension."""
    one = np.ones((1, 1), dtype=np.float32)
    made = Problem(3 * one, np.array([0]), 4 * one, WEIGHTS)
    d = dictionaries.Dictionaries(one, one, one, one)
    target = np.array([[1.0, 1.0]], dtype=np.float32)
    codes = dictionaries.Codes(2 * one, target, one, one)
    source = (3 - 2) ** 2 + 0.64 * ((3 - 2 - 1) ** 2 + 0.1 * 1) + 0.1 * 4
    expected = (4 - 1) ** 2 + (4 - 2) ** 2 + 0.64 * ((4 - 2 - 1) ** 2 + 0.1) + 0.1 * 2
    assert dictionaries.objective(made, d, codes) == pytest.approx(0.25 * source + expected)


def test_the_people_term_pulls_a_persons_codes_together() -> None:
    codes = np.array([[1.0], [4.0], [9.0]], dtype=np.float32)
    energy = dictionaries._people_energy(codes, np.array([5, 5, 6]))
    assert energy == pytest.approx((1 - 4) ** 2)


def test_neighbours_are_of_other_cameras() -> None:
    features = np.array([[1, 0], [1, 0.01], [1, 0.1], [0, 1]], dtype=np.float32)
    laplacian = umdl.neighbour_graph(features, np.array([1, 1, 2, 2]), 1, 0.05)
    assert laplacian is not None
    w = -laplacian.toarray()
    np.fill_diagonal(w, 0)
    # 0, 1 and 2 choose among {2, 3} and {0, 1}; 3 is nearest to 1, by a cosine below 0.05
    assert (w > 0).tolist() == [
        [False, False, True, False], [False, False, True, True],
        [True, True, False, False], [False, True, False, False],
    ]  # fmt: skip
    assert w[1, 3] == pytest.approx(0.05)
    assert w[0, 2] == pytest.approx(1 / np.sqrt(1.01), abs=1e-6)
    np.testing.assert_allclose(laplacian.sum(axis=1), 0, atol=1e-6)


def test_one_camera_has_no_graph() -> None:
    assert umdl.neighbour_graph(np.eye(4, dtype=np.float32), np.ones(4, int), 2, 0.05) is None


def test_components_keep_what_varies_most() -> None:
    rng = np.random.default_rng(0)
    line = rng.standard_normal((30, 1)) * np.array([[3.0, 4.0, 0, 0, 0]]) + 7
    sample = (line + 0.01 * rng.standard_normal((30, 5))).astype(np.float32)
    project = umdl.components(sample.copy(), 2)
    made = project(sample)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    along = sample @ np.array([0.6, 0.8, 0, 0, 0])
    assert abs(np.corrcoef(np.sign(made[:, 0]), np.sign(along - along.mean()))[0, 1]) > 0.9


def test_transfer_brings_a_persons_target_images_together() -> None:
    """Cameras differ by a shift that people of the source teach to overlook."""
    rng = np.random.default_rng(0)
    persons, shift = rng.standard_normal((40, 24)), 2.5 * rng.standard_normal((2, 24))

    def images(who: range) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        pid, camid = np.repeat(list(who), 6), np.tile(np.arange(6) % 2, len(who))
        x = persons[pid] + shift[camid] + 0.4 * rng.standard_normal((len(pid), 24))
        return unit(x), pid, camid

    def rank1(x: np.ndarray, pid: np.ndarray, camid: np.ndarray) -> float:
        cosines = unit(x) @ unit(x).T
        cosines[camid[:, None] == camid] = -2
        return float((pid[cosines.argmax(axis=1)] == pid).mean())

    x_s, pid, _ = images(range(20))
    x_t, truth, camid = images(range(20, 40))
    chosen = settings_from(
        umdl.Options, options(shared=12, unique=8, residual=8, iterations=15, rounds=3), "umdl"
    )
    codes = x_t @ umdl.transfer(x_s, pid, x_t, camid, chosen, rng)
    assert codes.shape == (120, 20)
    assert rank1(codes, truth, camid) > rank1(x_t, truth, camid) + 0.1


def splits() -> tuple[Split, Split]:
    rng = np.random.default_rng(0)
    images = (
        rng.integers(0, 256, (24, 8, 4, 3)).astype(np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    )
    rows = np.arange(12)
    source = Split(images[:12], rows // 3, rows % 3, rows)
    return source, Split(images[12:], np.full(12, -2), rows % 3, rows)


def test_fit_is_repeatable_and_describes() -> None:
    source, target = splits()
    made = [
        system("umdl")(source, target, options(), seed=1, threads=1)(target.images) for _ in "ab"
    ]
    assert made[0].shape == (12, 12)
    assert made[0].dtype == np.float32
    np.testing.assert_array_equal(made[0], made[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shared": 0}, "umdl.shared is 0"),
        ({"gamma": 0.0}, "it must be above 0"),
        ({"alpha": -1.0}, "it must be 0 at least"),
        ({"words": 3}, "no such key"),
        ({"scales": 4}, "at scale 3 of 4"),
    ],
)
def test_bad_options_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        umdl.fit(*splits(), options(**changes), seed=0, threads=1)
