"""`apptuner_relay.config.settings`: the groups, and the table that they make."""

import dataclasses
import typing

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.settings import OPTIONS, Settings, make_settings


class Groups(SynchronousTestCase):
    def test_every_setting_is_an_option_of_one_group(self) -> None:
        names = [
            field.name
            for group in dataclasses.fields(Settings)
            for field in dataclasses.fields(getattr(Settings(), group.name))
        ]
        self.assertEqual(names, [option.setting for option in OPTIONS])
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(len({option.variable for option in OPTIONS}), len(names))

    def test_nothing_changes_them(self) -> None:
        settings = Settings()
        with self.assertRaises(dataclasses.FrozenInstanceError):
            settings.limits = settings.limits  # type: ignore[misc]
        with self.assertRaises(dataclasses.FrozenInstanceError):
            settings.limits.window = 1  # type: ignore[misc]

    def test_each_default_is_of_its_type(self) -> None:
        for group in dataclasses.fields(Settings):
            settings = getattr(Settings(), group.name)
            for name, kind in typing.get_type_hints(type(settings)).items():
                if name != "HEADING":
                    value = getattr(settings, name)
                    kinds = [typing.get_origin(one) or one for one in typing.get_args(kind)]
                    if typing.get_origin(kind) is tuple or not kinds:
                        kinds = [typing.get_origin(kind) or kind]
                    self.assertIsInstance(value, tuple(kinds), name)

    def test_settings_by_their_names(self) -> None:
        settings = make_settings(window=16384, spool_dir=None, max_mobiles=7)
        self.assertEqual(settings.limits.window, 16384)
        self.assertEqual(settings.limits.max_mobiles, 7)
        self.assertIsNone(settings.bundles.spool_dir)
        self.assertEqual(settings.listening, Settings().listening)
        self.assertEqual(make_settings(), Settings())
        self.assertRaises(KeyError, make_settings, windows=1)
