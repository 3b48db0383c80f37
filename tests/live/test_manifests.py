"""What runs the relay elsewhere: Kubernetes, Compose, fly.io. Their files are checked by their own
schemas where there are any, and the options in them by the relay."""

import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import TestCase

from apptuner_relay.config.options import Options
from apptuner_relay.config.settings import Settings
from tests.live.processes import REPOSITORY, run

KUBERNETES = REPOSITORY / "ops/kubernetes/apptuner-relay.yaml"
FLY = REPOSITORY / "ops/fly/fly.toml"
LONGEST_STOP_S = (
    Settings().limits.drain_timeout
    + Settings().limits.drain_spread
    + Settings().limits.close_timeout
)
"""How long a relay may take to stop."""


class KubernetesTest(TestCase):
    def setUp(self) -> None:
        self.documents = list(yaml.safe_load_all(KUBERNETES.read_text()))

    def the(self, kind: str, name: str = "apptuner-relay") -> dict[str, Any]:
        [found] = [
            one for one in self.documents if one["kind"] == kind and one["metadata"]["name"] == name
        ]
        return dict(found)

    async def test_the_schemas_of_kubernetes(self) -> None:
        program = str(Path(sys.executable).with_name("kubernetes-validate"))
        child = await run([program, "--strict", "--quiet", str(KUBERNETES)])
        self.assertEqual(child.exit_code, 0, repr(child))

    def test_the_relay_takes_the_options(self) -> None:
        pod = self.the("StatefulSet")["spec"]["template"]["spec"]
        [container] = pod["containers"]
        secrets = Path(self.mktemp())
        secrets.mkdir()
        for name in ("cluster-secret", "admin-token"):
            (secrets / name).write_text("correct-horse-battery-staple")
        text = self.the("ConfigMap")["data"]["relay.toml"]
        mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
        file = Path(self.mktemp())
        file.write_text(text.replace(mounts["secrets"], str(secrets.absolute())))
        self.assertEqual(container["args"], ["--config", f"{mounts['config']}/relay.toml"])
        options = Options({"APPTUNER_NODE": "a-0", "APPTUNER_NODE_ADDRESS": "ws://10.0.0.4:3000"})
        options.parseOptions([f"--config={file}"])
        self.assertIn("10.0.0.0/8", str(options.settings.listening.trusted_proxy))
        given = {one["name"] for one in container["env"]} - {"POD_IP"}
        self.assertEqual(given, {"APPTUNER_NODE", "APPTUNER_NODE_ADDRESS"})
        self.assertGreater(pod["terminationGracePeriodSeconds"], LONGEST_STOP_S)

    def test_redis_is_where_the_relay_looks_for_it(self) -> None:
        options = tomllib.loads(self.the("ConfigMap")["data"]["relay.toml"])
        [port] = self.the("Service", "apptuner-relay-redis")["spec"]["ports"]
        self.assertEqual(options["redis"], f"redis://apptuner-relay-redis:{port['port']}")


class ComposeTest(TestCase):
    async def test_the_schema_of_compose(self) -> None:
        program = str(Path(sys.executable).with_name("check-jsonschema"))
        files = [
            str(REPOSITORY / f"ops/docker/{name}.yaml") for name in ("compose", "compose.soketi")
        ]
        child = await run([program, "--builtin-schema", "vendor.compose-spec", *files])
        self.assertEqual(child.exit_code, 0, repr(child))


class FlyTest(TestCase):
    def test_the_relay_takes_the_options(self) -> None:
        fly = tomllib.loads(FLY.read_text())
        options = Options(fly["env"])
        options.parseOptions([])
        self.assertEqual(options.settings.listening.public_url, f"https://{fly['app']}.fly.dev")
        self.assertGreater(fly["kill_timeout"], LONGEST_STOP_S)
        self.assertEqual(options.settings.listening.listen, ("tcp:3000",))
        self.assertEqual(fly["http_service"]["internal_port"], 3000)
