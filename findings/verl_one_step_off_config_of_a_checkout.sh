#!/usr/bin/env bash
# verl 0.9.1, installed as a package: the configuration of its one-step-off trainer composes in a checkout only.
#
#   in any folder                                    hydra finds no 'ppo_trainer'
#   in the folder that `verl/trainer/config` is in   composes
#
# It looks for verl's own files in `file://verl/trainer/config`, which hydra takes from where the program is started;
# that of the fully asynchronous trainer says `pkg://verl.trainer.config`. So
# `python -m verl.experimental.one_step_off_policy.main_ppo` ends before it has read an option, unless it is started
# in site-packages; `hydra.searchpath=[pkg://verl.trainer.config]` behind it mends that.
#
# Seen with Python 3.11, verl 0.9.1, hydra-core 1.3.2. Exits 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check hydra-core==1.3.2
env/bin/pip install --quiet --disable-pip-version-check --no-deps verl==0.9.1
packages=$(env/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cat >composes.py <<'PY'
import sys

import hydra
from hydra.errors import MissingConfigException

folder = f"{sys.argv[1]}/verl/experimental/one_step_off_policy/config"
with hydra.initialize_config_dir(folder, version_base=None):
    try:
        print("composes, trainer.use_v1:", hydra.compose("one_step_off_ppo_trainer").trainer.use_v1)
    except MissingConfigException as error:
        print("missing:", error.missing_cfg_file)
PY
elsewhere=$(env/bin/python composes.py "$packages" 2>errors) || { cat errors >&2; exit 1; }
beside=$(cd "$packages" && "$OLDPWD/env/bin/python" "$OLDPWD/composes.py" "$packages" 2>errors) || { cat errors >&2; exit 1; }
printf 'in any folder:      %s\nin site-packages:   %s\n' "$elsewhere" "$beside"
[[ $elsewhere == 'missing: ppo_trainer' && $beside == 'composes, trainer.use_v1: '* ]]
