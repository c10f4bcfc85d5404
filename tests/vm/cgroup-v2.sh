# Run by `make vm` as the only script of a virtual machine: Debian's kernel, cgroup v2 alone, nothing else running.
# minke and minke-oci lie in /. Prints a line for each check, ends with the number of failures as exit code.
failures=0
check() { # check WHAT WANTED GOT
  if [ "$2" = "$3" ]; then echo "ok: $1"; else echo "FAILED: $1: wanted '$2', got '$3'"; failures=$((failures + 1)); fi
}
has() { # has WHAT PART WHOLE
  case $3 in *"$2"*) echo "ok: $1" ;; *) echo "FAILED: $1: no '$2' in '$3'"; failures=$((failures + 1)) ;; esac
}

# A root file system of busybox.
mkdir -p /r/bin /r/etc /r/tmp /r/dev /r/proc /r/sys /r/www
cp /bin/busybox /r/bin/
for applet in cat dd echo grep httpd ip ls mount sh sleep true wget; do ln -s busybox "/r/bin/$applet"; done
echo 'root:x:0:0::/:/bin/sh' >/r/etc/passwd
tar -C /r -cf /r.tar .

echo "--- minke-oci, kernel $(uname -r)"
mkdir -p /bundle && cp -a /r /bundle/rootfs && cd /bundle || exit 99
/minke-oci spec
sed -i 's/"terminal": true/"terminal": false/; s#"sh"#"sh","-c","sleep 60"#' config.json
sed -i 's#"resources": {#"resources": {"memory":{"limit":33554432},"pids":{"limit":20},"cpu":{"shares":512,"quota":50000,"period":100000},#' config.json
sed 's#"sleep 60"#"exit 5"#; s#"limit":33554432#"limit":1048576#' config.json >/tiny.json
mkdir -p /tiny && mv /tiny.json /tiny/config.json && ln -s /bundle/rootfs /tiny/rootfs
/minke-oci run --bundle /tiny tiny
check "a container of 1 MiB" 5 $?
/minke-oci create --pid-file /pid one </dev/null >/dev/null 2>&1
check "create" 0 $?
/minke-oci start one
group=/sys/fs/cgroup$(sed 's/^0:://' "/proc/$(cat /pid)/cgroup")
check "memory.max" 33554432 "$(cat "$group/memory.max")"
check "pids.max" 20 "$(cat "$group/pids.max")"
check "cpu.max" "50000 100000" "$(cat "$group/cpu.max")"
check "exec" works "$(/minke-oci exec one echo works)"
/minke-oci update --memory 64m --memory-swap 128m --memory-reservation 16m --pids-limit 30 one
check "update of memory and tasks" "67108864 67108864 16777216 30" "$(echo $(cat "$group/memory.max" "$group/memory.swap.max" "$group/memory.low" "$group/pids.max"))"
/minke-oci update --memory 96m one
check "memory and swap together stay" "100663296 33554432" "$(echo $(cat "$group/memory.max" "$group/memory.swap.max"))"
/minke-oci update --cpu-quota 25000 --cpu-burst 5000 --cpu-share 2048 --cpuset-cpus 0 --cpuset-mems 0 one
check "update of cpus" "25000 100000 5000 174 0 0" "$(echo $(cat "$group/cpu.max" "$group/cpu.max.burst" "$group/cpu.weight" "$group/cpuset.cpus" "$group/cpuset.mems"))"
/minke-oci update --cpu-idle 1 one
check "update of cpu.idle" 1 "$(cat "$group/cpu.idle")"
echo '{"unified":{"memory.high":"33554432"}}' | /minke-oci update -r - one
check "update of what only v2 has" 33554432 "$(cat "$group/memory.high")"
has "stats" '"pids":{"current":1,"limit":30}' "$(/minke-oci events --stats one)"
has "pressure" '"psi":{"full":{"avg10":' "$(/minke-oci events --stats one)"
/minke-oci pause one
has "paused" "frozen 1" "$(cat "$group/cgroup.events")"
/minke-oci resume one
/minke-oci delete --force one
check "the group is gone" "" "$(ls -d "$group" 2>/dev/null)"
cd /

echo "--- the engine"
/minke daemon >/log 2>&1 &
engine=$!
export DOCKER_HOST=unix:///run/minke/docker.sock
for _ in $(seq 100); do /minke version >/dev/null 2>&1 && break; sleep 0.1; done
/minke import /r.tar busybox >/dev/null
check "run" hello "$(/minke run --rm busybox echo hello)"
check "a container's own view of its limits" "20971520 10 50000 100000" \
  "$(/minke run --rm --memory 20m --pids-limit 10 --cpus 0.5 busybox sh -c 'echo $(cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max)')"
/minke run -d --name web -p 8080:80 busybox sh -c 'echo page > /www/index.html; exec httpd -f -h /www -p 80' >/dev/null
for _ in $(seq 50); do page=$(wget -qO- http://127.0.0.1:8080/ 2>/dev/null) && break; sleep 0.1; done
check "a published port" page "$page"
/minke pause web >/dev/null
check "pause" paused "$(/minke inspect -f '{{.State.Status}}' web)"
/minke unpause web >/dev/null
has "stats" web "$(/minke stats --no-stream web)"
/minke run --name greedy --memory 16m busybox dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null
check "out of memory" 137 $?
check "and the state says so" true "$(/minke inspect -f '{{.State.OOMKilled}}' greedy)"
open_serial='exec 3</tmp/serial'
check "a device that is not allowed" 1 \
  "$(/minke run --rm --cap-add MKNOD busybox sh -c "busybox mknod /tmp/serial c 4 64 && $open_serial" >/dev/null 2>&1; echo $?)"
check "a device that is" 0 "$(/minke run --rm --device /dev/ttyS0:/tmp/serial busybox sh -c "$open_serial" >/dev/null; echo $?)"
kill -9 $engine
/minke daemon >>/log 2>&1 &
engine=$!
for _ in $(seq 100); do /minke version >/dev/null 2>&1 && break; sleep 0.1; done
check "a container outlives the engine" page "$(wget -qO- http://127.0.0.1:8080/)"
check "and can be joined afterwards" page "$(/minke exec web cat /www/index.html)"
/minke stop -t 1 web >/dev/null
check "cp out of a stopped container" page "$(/minke cp web:/www/index.html - | tar -xO)"
/minke rm -f web greedy >/dev/null
kill $engine
wait $engine
check "the engine ends" 0 $?
check "no group is left" "" "$(find /sys/fs/cgroup -name 'minke*')"
check "no link is left" "" "$(ip -o link | grep minke)"
check "no mount is left" "" "$(grep minke /proc/mounts)"
[ $failures = 0 ] || cat /log
exit $failures
