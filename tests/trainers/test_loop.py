"""The three-player loop on networks of a few weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss
from torch.utils.data import DataLoader, TensorDataset

from compositor.files import DataError
from trainers import checkpoint
from trainers.checkpoint import OtherRunError
from trainers.loop import Loop, NonFiniteError
from trainers.player import Player, frozen


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(4, 2))


def bits(*networks: nn.Module) -> list[Tensor]:
    return [value.clone() for net in networks for value in net.state_dict().values()]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


class Game(Loop):
    """S moves points, T pulls them to where they were, D (where it plays) tells them from real."""

    def __init__(
        self, path: Path, size: int = 2, discriminator: bool = True, log: Path | None = None
    ) -> None:
        accelerator = Accelerator(cpu=True)
        torch.manual_seed(0)

        def player() -> Player:
            net = network()
            return Player(accelerator, net, torch.optim.Adam(net.parameters(), 1e-2))

        super().__init__(
            accelerator,
            "game",
            0,
            path,
            {"size": size},
            {"points": "32 items"},
            synthesizer=player(),
            target=player(),
            discriminator=player() if discriminator else None,
            log_folder=log,
        )
        points = TensorDataset(torch.randn(32, 2))
        self.loader = accelerator.prepare(DataLoader(points, batch_size=8, shuffle=True))
        self.watch: dict[str, Callable[[], None]] = {}
        self.scale = 1.0

    def start(self) -> None:
        self.started = True

    def synthesize(self) -> None:
        assert self.synthesizer is not None
        for (points,) in self.loader:
            moved = points + self.synthesizer.model(points)
            loss = -mse_loss(self.target.network(moved), points).clamp_max(1) * self.scale
            if self.discriminator is not None:
                judged = self.discriminator.network(moved)
                loss = loss + binary_cross_entropy_with_logits(judged, torch.ones_like(judged))
            self.update(self.synthesizer, loss, "synthesizer")
        self.watch.get("synthesize", lambda: None)()

    def learn(self) -> None:
        assert self.synthesizer is not None
        for (points,) in self.loader:
            moved = (points + self.synthesizer.network(points)).detach()
            loss = mse_loss(self.target.model(moved), points) * self.scale
            self.update(self.target, loss, "target")
            if self.discriminator is not None:
                judged = self.discriminator.model(torch.cat((points, moved)))
                truth = torch.zeros_like(judged)
                truth[: len(points)] = 1
                loss = binary_cross_entropy_with_logits(judged, truth)
                self.update(self.discriminator, loss, "discriminator")
        self.watch.get("learn", lambda: None)()

    def evaluate(self) -> dict[str, Any]:
        return {"sum": float(sum(p.detach().sum() for p in self.target.network.parameters()))}

    def summary(self) -> str:
        return f"cycle {len(self.history) - 1} done"


def test_frozen_is_eval_without_gradients_and_then_as_it_was() -> None:
    net, other = network(), network()
    net[1].eval()
    net[0].bias.requires_grad_(False)
    other.eval()
    with frozen(net, other):
        assert not any(m.training for m in (*net.modules(), *other.modules()))
        assert not any(p.requires_grad for p in (*net.parameters(), *other.parameters()))
        point = torch.randn(3, 2, requires_grad=True)
        other(net(point)).sum().backward()
        assert point.grad is not None and point.grad.any()
    assert [m.training for m in net.modules()] == [True, True, False, True, True]
    assert not any(m.training for m in other.modules())
    assert [p.requires_grad for p in net.parameters()] == [True, False, True, True, True, True]
    assert all(p.grad is None for p in (*net.parameters(), *other.parameters()))


def test_frozen_lets_go_when_something_breaks() -> None:
    net = network()
    with pytest.raises(KeyError), frozen(net):
        raise KeyError
    assert all(m.training for m in net.modules())
    assert all(p.requires_grad for p in net.parameters())


@pytest.mark.parametrize("discriminator", [True, False])
def test_each_phase_moves_its_players_and_no_bit_of_the_others(
    tmp_path: Path, discriminator: bool
) -> None:
    game = Game(tmp_path / "game.pt", discriminator=discriminator)
    assert game.synthesizer is not None
    s, rest = game.synthesizer.network, [game.target.network]
    if game.discriminator is not None:
        rest.append(game.discriminator.network)
    state = {"s": bits(s), "rest": bits(*rest)}

    def after_synthesis() -> None:
        assert not same(state["s"], bits(s))
        assert same(state["rest"], bits(*rest))
        assert all(p.grad is None for net in rest for p in net.parameters())
        state["s"] = bits(s)

    def after_learning() -> None:
        assert same(state["s"], bits(s))
        for net in rest:
            assert not same(state["rest"][: len(bits(net))], bits(net))
            del state["rest"][: len(bits(net))]

    game.watch = {"synthesize": after_synthesis, "learn": after_learning}
    assert len(game.run(1)) == 2
    assert game.started
    assert all(m.training for m in game.target.network.modules())


def contents(path: Path) -> list[Tensor]:
    """All tensors of a checkpoint, its random number generators' included."""
    found: list[Tensor] = []

    def walk(value: Any) -> None:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, dict):
            for key in sorted(value, key=str):
                walk(value[key])
        elif isinstance(value, list | tuple):
            for inner in value:
                walk(inner)
        elif isinstance(value, int | float):
            found.append(torch.tensor(value, dtype=torch.float64))

    walk(torch.load(path, weights_only=True))
    return found


def test_a_resumed_run_gives_the_same_bits(tmp_path: Path) -> None:
    whole = Game(tmp_path / "whole.pt").run(4)
    Game(tmp_path / "parts.pt").run(1)
    broken = Game(tmp_path / "parts.pt")

    def breaks() -> None:
        raise KeyboardInterrupt

    broken.watch = {"learn": breaks}
    with pytest.raises(KeyboardInterrupt):
        broken.run(4)
    torch.rand(5)
    assert Game(tmp_path / "parts.pt").run(4) == whole
    assert len(whole) == 5
    assert same(contents(tmp_path / "whole.pt"), contents(tmp_path / "parts.pt"))
    # One more start finds nothing to do.
    assert Game(tmp_path / "parts.pt").run(4) == whole


def test_trained_or_loaded_t_enters_the_cycles_alike(tmp_path: Path) -> None:
    class Trained(Game):
        def start(self) -> None:
            before = {
                name: value.clone() for name, value in self.target.network.state_dict().items()
            }
            points = torch.rand(8, 2)
            self.update(self.target, mse_loss(self.target.model(points), points), "target")
            self.target.network.load_state_dict(before)  # as another run trained it

    assert Trained(tmp_path / "trained.pt").run(1) == Game(tmp_path / "loaded.pt").run(1)


def test_a_run_with_other_settings_is_refused(tmp_path: Path) -> None:
    Game(tmp_path / "game.pt").run(0)
    with pytest.raises(OtherRunError, match="was made with size 2, this run has 3"):
        Game(tmp_path / "game.pt", size=3).run(1)


def test_a_run_whose_data_changed_is_refused(tmp_path: Path) -> None:
    Game(tmp_path / "game.pt").run(0)
    changed = Game(tmp_path / "game.pt")
    changed.fingerprints = {"points": "33 items"}
    message = r"game.pt: the data has changed since .*points was 32 items, is 33 items; put the old"
    with pytest.raises(OtherRunError, match=message):
        changed.run(0)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "game.pt"
    Game(path).run(0)
    whole = path.read_bytes()
    for damage in (b"", whole[: len(whole) // 2], b"not a checkpoint"):
        path.write_bytes(damage)
        with pytest.raises(DataError, match=r"game.pt: is damaged or not a checkpoint; delete it"):
            Game(path).run(0)


def test_a_checkpoint_of_other_players_is_refused(tmp_path: Path) -> None:
    Game(tmp_path / "game.pt").run(0)
    with pytest.raises(ValueError, match="holds .*discriminator"):
        Game(tmp_path / "game.pt", discriminator=False).run(1)


def test_another_number_of_processes_is_refused(tmp_path: Path) -> None:
    game = Game(tmp_path / "game.pt")
    game.run(0)
    content = checkpoint.load(tmp_path / "game.pt")
    content["rng"] *= 2
    with pytest.raises(ValueError, match="written by 2 processes, resumed by 1"):
        checkpoint.restore(game.path, content, game.accelerator, game.parts)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_before_it_does_harm(tmp_path: Path, bad: float) -> None:
    path = tmp_path / "game.pt"
    Game(path).run(1)
    kept = path.read_bytes()
    game = Game(path)
    game.scale = bad
    at_stop: list[list[Tensor]] = []
    update = game.update

    def watched(player: Player, loss: Tensor, name: str) -> float:
        at_stop.append(bits(*(p.network for p in (game.synthesizer, game.target) if p)))
        return update(player, loss, name)

    game.update = watched
    message = r"loss/synthesizer: is (-inf|nan) in cycle 2 after 12 updates .*game.pt"
    with pytest.raises(NonFiniteError, match=message):
        game.run(2)
    networks = [p.network for p in (game.synthesizer, game.target) if p]
    # BatchNorm's statistics move in the forward pass; no weight does.
    names = [f"{i}.{n}" for i, net in enumerate(networks) for n in net.state_dict()]
    for name, was, now in zip(names, at_stop[-1], bits(*networks), strict=True):
        assert "running" in name or "tracked" in name or torch.equal(was, now), name
    assert path.read_bytes() == kept


def test_a_gradient_that_is_not_finite_moves_no_weight(tmp_path: Path) -> None:
    game = Game(tmp_path / "game.pt")
    before = bits(game.target.network)
    # The loss is 0, its slope is infinite.
    loss = next(game.target.network.parameters()).mul(0).abs().sum().sqrt()
    message = r"gradient of loss/target: is (inf|nan) in cycle 0 after 0 updates .*game.pt"
    with pytest.raises(NonFiniteError, match=message):
        game.update(game.target, loss, "target")
    assert same(before, bits(game.target.network))


def test_logs_of_a_killed_cycle_are_taken_back(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    Game(tmp_path / "game.pt", log=tmp_path / "log").run(1)
    broken = Game(tmp_path / "game.pt", log=tmp_path / "log")

    def breaks() -> None:
        raise KeyboardInterrupt

    broken.watch = {"learn": breaks}
    with pytest.raises(KeyboardInterrupt):
        broken.run(2)
    Game(tmp_path / "game.pt", log=tmp_path / "log").run(2)
    events = EventAccumulator(str(tmp_path / "log"))
    events.Reload()
    steps = [event.step for event in events.Scalars("loss/target")]
    assert steps == sorted(set(steps))
    assert len(steps) == 2 * 4


@pytest.mark.parametrize("terminal", [False, True])
def test_without_a_terminal_each_cycle_says_how_it_went(
    tmp_path: Path,
    terminal: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    Game(tmp_path / "run.pt").run(1)
    Game(tmp_path / "run.pt").run(2)
    printed = capsys.readouterr().out
    assert printed == ("" if terminal else "cycle 0 done\ncycle 1 done\ncycle 2 done\n")
