# Run by `make vm` as the only script of a virtual machine: Debian's kernel, and a Debian that systemd has booted, with cgroup v2 or
# (VM_CGROUP=v1) the v1 controllers. minke-oci lies in /. Prints a line for each check, ends with the number of failures as exit code.
failures=0
check() { # check WHAT WANTED GOT
  if [ "$2" = "$3" ]; then echo "ok: $1"; else echo "FAILED: $1: wanted '$2', got '$3'"; failures=$((failures + 1)); fi
}
has() { # has WHAT PART WHOLE
  case $3 in *"$2"*) echo "ok: $1" ;; *) echo "FAILED: $1: no '$2' in '$3'"; failures=$((failures + 1)) ;; esac
}
property() { systemctl ${user:+--user} show --value -p "$1" "$2"; }
limit() { cat "$1" 2>/dev/null; }
v2=
[ -e /sys/fs/cgroup/cgroup.controllers ] && v2=1

# bundle DIRECTORY CGROUPSPATH: busybox that sleeps, with limits
bundle() {
  mkdir -p "$1/rootfs/bin" && cp /bin/busybox "$1/rootfs/bin/"
  for applet in cat echo sh sleep true; do ln -sf busybox "$1/rootfs/bin/$applet"; done
  (cd "$1" && /minke-oci spec ${3:-})
  sed -i 's/"terminal": true/"terminal": false/; s#"sh"#"sleep","1000"#; s/"hostname": "minke"/"hostname": "vm"/' "$1/config.json"
  sed -i "s#\"linux\": {#\"linux\": {\"cgroupsPath\": \"$2\",#" "$1/config.json"
}

echo "--- the host's systemd, kernel $(uname -r), $([ -n "$v2" ] && echo cgroup v2 || echo cgroup v1)"
bundle /one machine.slice:minke:one
sed -i 's#"resources": {#"resources": {"memory":{"limit":33554432,"swap":67108864},"pids":{"limit":20},"cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0"},#' /one/config.json
sed -i '0,/{/s##{"annotations":{"org.systemd.property.TimeoutStopUSec":"uint64 7000000"},#' /one/config.json
/minke-oci --systemd-cgroup create --bundle /one --pid-file /pid one </dev/null >/create 2>&1
check "create" "0 " "$? $(cat /create)"
/minke-oci start one
unit=minke-one.scope
check "the unit is active" active "$(property ActiveState $unit)"
check "its slice" machine.slice "$(property Slice $unit)"
check "it is delegated" yes "$(property Delegate $unit)"
check "TasksMax" 20 "$(property TasksMax $unit)"
check "CPUQuotaPerSecUSec" 500ms "$(property CPUQuotaPerSecUSec $unit)"
check "AllowedCPUs" 0 "$(property AllowedCPUs $unit)"
check "an annotated property" 7s "$(property TimeoutStopUSec $unit)"
check "DevicePolicy" strict "$(property DevicePolicy $unit)"
group=$(property ControlGroup $unit)
check "its cgroup" /machine.slice/minke-one.scope "$group"
if [ -n "$v2" ]; then
  check "the process is in it" "0::$group" "$(cat "/proc/$(cat /pid)/cgroup")"
  directory=/sys/fs/cgroup$group
  memory=$directory/memory.max swap=$directory/memory.swap.max cpu=$directory/cpu.max pids=$directory/pids.max cpuset=$directory/cpuset.cpus
  check "MemoryMax" 33554432 "$(property MemoryMax $unit)"
  check "memory.swap.max" 33554432 "$(limit $swap)"
  check "cpu.max" "50000 100000" "$(limit $cpu)"
  check "cpu.weight" 59 "$(limit "$directory/cpu.weight")"
else
  has "the process is in it" "name=systemd:$group" "$(cat "/proc/$(cat /pid)/cgroup")"
  has "and in memory's" "memory:$group" "$(cat "/proc/$(cat /pid)/cgroup")"
  memory=/sys/fs/cgroup/memory$group/memory.limit_in_bytes cpu=/sys/fs/cgroup/cpu$group/cpu.cfs_quota_us pids=/sys/fs/cgroup/pids$group/pids.max cpuset=/sys/fs/cgroup/cpuset$group/cpuset.cpus
  check "MemoryLimit" 33554432 "$(property MemoryLimit $unit)"
  check "cpu.cfs_quota_us" 50000 "$(limit "$cpu")"
fi
check "memory" 33554432 "$(limit "$memory")"
check "pids.max" 20 "$(limit "$pids")"
check "cpuset.cpus" 0 "$(limit "$cpuset")"
check "only the container is in the group" "$(cat /pid)" "$(systemctl show -p MainPID --value $unit 2>/dev/null | grep -v '^0*$'; /minke-oci ps -f json one | tr -d '[]')"
check "exec" works "$(/minke-oci exec one echo works)"
has "exec is in the group" "$group" "$(/minke-oci exec one cat /proc/self/cgroup; [ -n "$v2" ] && echo "$group")"
check "a device that every container has" x "$(/minke-oci exec one sh -c 'echo x >/dev/null && echo x')"

/minke-oci update --memory 64m --memory-swap 128m --cpu-quota 25000 --pids-limit 30 --cpuset-cpus 0-1 --cpu-share 2048 one
check "update" 0 $?
check "update: the file of memory" 67108864 "$(limit "$memory")"
check "update: TasksMax" 30 "$(property TasksMax $unit)"
check "update: CPUQuotaPerSecUSec" 250ms "$(property CPUQuotaPerSecUSec $unit)"
check "update: AllowedCPUs" 0-1 "$(property AllowedCPUs $unit)"
systemctl daemon-reload
check "a reload of systemd keeps memory" 67108864 "$(limit "$memory")"
check "and pids" 30 "$(limit "$pids")"
check "and cpusets" 0-1 "$(limit "$cpuset")"
check "and devices" x "$(/minke-oci exec one sh -c 'echo x >/dev/null && echo x')"
/minke-oci pause one
check "paused" paused "$(/minke-oci state one | sed -n 's/.*"status": "\(.*\)".*/\1/p')"
/minke-oci resume one
has "events" '"type":"stats"' "$(/minke-oci events --stats one)"
[ -z "$v2" ] || has "events tell the pressure" '"psi":{"full":{"avg10"' "$(/minke-oci events --stats one)"
/minke-oci delete --force one
check "the unit is gone" "inactive" "$(property ActiveState $unit)"
check "the group is gone" "" "$(ls -d /sys/fs/cgroup/*"$group" /sys/fs/cgroup"$group" 2>/dev/null)"

echo "--- mistakes and failures"
bundle /bad /not/a/unit
has "a path of the other driver" 'slice:prefix:name' "$(/minke-oci --systemd-cgroup run --bundle /bad bad 2>&1 </dev/null)"
sed -i 's#/not/a/unit#machine.slice:minke:bad#; s#"sleep"#"nothing"#' /bad/config.json
has "a missing program" nothing "$(/minke-oci --systemd-cgroup run --bundle /bad bad 2>&1 </dev/null)"
check "leaves no unit" inactive "$(property ActiveState minke-bad.scope)"
bundle /hog machine.slice:minke:hog
sed -i 's#"resources": {#"resources": {"memory":{"limit":8388608,"swap":8388608},"pids":{"limit":1},#; s#"sleep","1000"#"sh","-c","x=aaaaaaaa; while :; do x=$x$x; done"#' /hog/config.json
/minke-oci --systemd-cgroup create --bundle /hog hog </dev/null >/create 2>&1
check "one task is enough" "0 " "$? $(cat /create)"
/minke-oci events --interval 10m hog >/events &
events=$!
sleep 1
/minke-oci start hog
wait $events
check "events end with the container and tell why" '{"type":"oom","id":"hog"}' "$(cat /events)"
/minke-oci delete hog
check "delete after it" 0 $?
check "no failed unit is left" "" "$(systemctl --failed --no-legend --plain | grep minke)"
bundle /twice machine.slice:minke:twice
/minke-oci --systemd-cgroup create --bundle /twice twice </dev/null >/dev/null 2>&1
has "a unit in use" UnitExists "$(/minke-oci --systemd-cgroup run --bundle /twice again 2>&1 </dev/null)"
check "keeps its container" created "$(/minke-oci state twice | sed -n 's/.*"status": "\(.*\)".*/\1/p')"
/minke-oci delete -f twice

echo "--- over the bus"
mv /run/systemd/private /run/systemd/hidden
/minke-oci --systemd-cgroup create --bundle /twice twice </dev/null >/create 2>&1
check "create" "0 " "$? $(cat /create)"
/minke-oci update --pids-limit 9 twice
mv /run/systemd/hidden /run/systemd/private
check "its unit" "active 9" "$(property ActiveState minke-twice.scope) $(property TasksMax minke-twice.scope)"
mv /run/systemd/private /run/systemd/hidden
/minke-oci delete -f twice
mv /run/systemd/hidden /run/systemd/private
check "and gone" inactive "$(property ActiveState minke-twice.scope)"

echo "--- criu $(criu --version | sed -n 's/^Version: //p')"
bundle /count ""
sed -i 's#"sleep","1000"#"sh","-c","i=0; while :; do echo $i; i=$((i+1)); sleep 0.5; done"#; s#"cgroupsPath": "",##' /count/config.json
sed -i 's#"resources": {#"resources": {"pids":{"limit":20},#' /count/config.json
sed -i 's#"mounts": \[#"mounts": [{"destination":"/data","type":"bind","source":"/etc","options":["rbind","ro"]},#' /count/config.json
mkdir -p /count/rootfs/tmp
/minke-oci run -d --bundle /count count </dev/null 2>&1 | cat >/before &
sleep 3
/minke-oci checkpoint --leave-running --image-path /images-1 count
check "checkpoint, and it runs on" "0 running" "$? $(/minke-oci state count | sed -n 's/.*"status": "\(.*\)".*/\1/p')"
/minke-oci checkpoint --image-path /images --work-path /criu-work count
check "checkpoint, and it is gone" "0 " "$? $(/minke-oci list -q)"
(/minke-oci restore -d --bundle /count --image-path /images --pid-file /restored count </dev/null || echo failed) 2>&1 | cat >/after &
sleep 5
last=$(tail -n 1 /before)
check "restore, and it counts on" "$((last + 1))" "$(head -n 1 /after)"
check "it runs" running "$(/minke-oci state count | sed -n 's/.*"status": "\(.*\)".*/\1/p')"
check "exec into it" works "$(/minke-oci exec count echo works)"
has "it is in its cgroup" /count "$(cat "/proc/$(cat /restored)/cgroup")"
limits=$(/minke-oci events --stats count)
has "with its limits" '"pids":{"current":' "$limits"
has "the number of tasks" '"limit":20' "$limits"
check "a volume" vm "$(/minke-oci exec count cat /data/hostname)"
check "what is masked stays so" "" "$(/minke-oci exec count cat /proc/keys /proc/timer_list)"
check "nothing is mounted on the host" "" "$(grep criu-root /proc/mounts)"
/minke-oci delete -f count
has "a restore without images" "open /nowhere" "$(/minke-oci restore --bundle /count --image-path /nowhere count 2>&1 </dev/null)"
check "leaves nothing" "" "$(/minke-oci list -q)$(ls -d /sys/fs/cgroup/*/count /sys/fs/cgroup/count 2>/dev/null)"

if [ -n "$v2" ]; then
  echo "--- an ordinary user's systemd"
  useradd -m -u 1000 -s /bin/bash ordinary
  systemctl start user@1000.service
  cat >/rootless <<'USER'
    cd; export XDG_RUNTIME_DIR=/run/user/1000 user=1
USER
  { declare -f check has property limit bundle; echo 'failures=0'; cat /rootless; cat <<'USER'
    bundle ~/box user.slice:minke:box --rootless
    sed -i 's#"linux": {#"linux": {"resources":{"memory":{"limit":33554432},"pids":{"limit":20}},#' ~/box/config.json
    /minke-oci --systemd-cgroup create --bundle ~/box --pid-file ~/pid box </dev/null >~/create 2>&1
    check "rootless create" "0 " "$? $(cat ~/create)"
    /minke-oci start box
    check "rootless: the unit" active "$(property ActiveState minke-box.scope)"
    group=$(property ControlGroup minke-box.scope)
    has "rootless: its cgroup" /user@1000.service/user.slice/minke-box.scope "$group"
    check "rootless: the process is in it" "0::$group" "$(cat /proc/$(cat ~/pid)/cgroup)"
    check "rootless: memory.max" 33554432 "$(cat /sys/fs/cgroup$group/memory.max)"
    check "rootless: pids.max" 20 "$(cat /sys/fs/cgroup$group/pids.max)"
    check "rootless: exec" works "$(/minke-oci exec box echo works)"
    /minke-oci exec -d --pid-file ~/exec-pid box sleep 100 </dev/null >/dev/null 2>&1
    check "rootless: exec is in it" "0::$group" "$(cat /proc/$(cat ~/exec-pid)/cgroup)"
    /minke-oci update --memory 64m box
    check "rootless: update" "0 67108864" "$? $(cat /sys/fs/cgroup$group/memory.max)"
    /minke-oci delete -f box
    check "rootless: gone" inactive "$(property ActiveState minke-box.scope)"
    exit $failures
USER
  } >/rootless.sh
  runuser -u ordinary -- bash /rootless.sh
  failures=$((failures + $?))
fi
[ $failures = 0 ] || journalctl -b --no-pager -n 30
exit $failures
