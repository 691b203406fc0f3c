#!/usr/bin/env bash
# Run STEPS on a copy-on-write copy of this machine, with a network and processes of its own.
#
#     unshare --mount --net --pid --fork --kill-child rehearse.sh FOLDER REPOSITORY PACKAGES STEPS
#
# Nothing is written outside FOLDER, and every process ends with this one: the namespaces see to it.
set -euo pipefail
folder=$1 repository=$2 packages=$3 steps=$4

mount --make-rprivate /
mount -t tmpfs rehearsal "$folder"
mkdir "$folder"/{changes,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/changes,workdir=$folder/work" "$folder/root"
root=$folder/root

mkdir -p "$root/usr/src/gatepost" "$root/opt/gatepost/packages"
mount --bind -o ro "$repository" "$root/usr/src/gatepost"
mount --bind -o ro "$packages" "$root/opt/gatepost/packages"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs run "$root/run"
mount -t tmpfs tmp "$root/tmp"
chmod 1777 "$root/tmp"
ip link set lo up

install -m 755 "$repository/tests/stack/systemctl.py" "$root/usr/local/bin/systemctl"
install -m 644 "$steps" "$root/tmp/steps.sh"
exec chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin \
  LC_ALL=C.UTF-8 bash -euxo pipefail /tmp/steps.sh
