# Run as the only script of a virtual machine, `scripts/vm tests/vm/rootless.sh MINKE-OCI`: an ordinary user and cgroup v2 alone.
# Prints a line for each check, ends with the number of failures as exit code.
failures=0
check() { # check WHAT WANTED GOT
  if [ "$2" = "$3" ]; then echo "ok: $1"; else echo "FAILED: $1: wanted '$2', got '$3'"; failures=$((failures + 1)); fi
}
has() { # has WHAT PART WHOLE
  case $3 in *"$2"*) echo "ok: $1" ;; *) echo "FAILED: $1: no '$2' in '$3'"; failures=$((failures + 1)) ;; esac
}
printf 'root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n' >/etc/passwd
mkdir -p /bundle/rootfs/bin /bundle/rootfs/dev /bundle/rootfs/proc /bundle/rootfs/sys /bundle/rootfs/etc /run/user
cp /bin/busybox /bundle/rootfs/bin/
for applet in cat grep sh sleep true; do ln -s busybox "/bundle/rootfs/bin/$applet"; done
chown -R 1000:1000 /bundle /run/user
cd /bundle || exit 99
export XDG_RUNTIME_DIR=/run/user
user() { su user -c 'exec "$@"' -- sh "$@"; }
user /minke-oci spec --rootless
sed -i 's/"terminal": true/"terminal": false/; s#"sh"#"sleep","60"#' config.json
cp config.json plain.json

echo "--- nothing delegated, kernel $(uname -r)"
user /minke-oci create none </dev/null >/dev/null 2>/warning
check "a container without a cgroup" 0 $?
user /minke-oci start none
check "stays in its maker's" "0::/" "$(user /minke-oci exec none cat /proc/self/cgroup)"
has "pause needs one" "no cgroup" "$(user /minke-oci pause none 2>&1)"
user /minke-oci delete -f none
sed -i 's#"linux": {#"linux": {"resources":{"memory":{"limit":33554432},"pids":{"limit":20}},#' config.json
has "limits need one" "rootless needs no limits" "$(user /minke-oci run limited 2>&1)"

echo "--- delegated"
for group in /sys/fs/cgroup /sys/fs/cgroup/slice; do mkdir -p $group; echo "+memory +pids" >$group/cgroup.subtree_control; done
mkdir /sys/fs/cgroup/slice/own
chown 1000:1000 /sys/fs/cgroup/slice /sys/fs/cgroup/slice/cgroup.procs /sys/fs/cgroup/slice/cgroup.subtree_control /sys/fs/cgroup/slice/own /sys/fs/cgroup/slice/own/cgroup.procs
inside() { sh -c 'echo $$ >/sys/fs/cgroup/slice/own/cgroup.procs; exec su user -c '"'"'exec "$@"'"'"' -- sh "$@"' sh "$@"; }
inside /minke-oci create one </dev/null >/dev/null 2>/warning
check "create" 0 $?
inside /minke-oci start one
group=/sys/fs/cgroup/slice/one
check "memory.max" 33554432 "$(cat $group/memory.max)"
check "pids.max" 20 "$(cat $group/pids.max)"
# As the container's cgroup namespace shows it.
check "exec enters it" "0::/" "$(inside /minke-oci exec one cat /proc/self/cgroup)"
check "exec from outside stays there" "0::/../.." "$(user /minke-oci exec one cat /proc/self/cgroup)"
inside /minke-oci update --pids-limit 30 one
check "update" 30 "$(cat $group/pids.max)"
inside /minke-oci pause one
check "pause" "frozen 1" "$(grep frozen $group/cgroup.events)"
inside /minke-oci resume one
inside /minke-oci delete -f one
check "nothing is left" "" "$(ls -d $group 2>/dev/null)$(ls /run/user/minke-oci)"
exit $failures
