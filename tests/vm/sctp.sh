# Run by `make vm` as the only script of a virtual machine whose kernel has SCTP: published SCTP ports lead to a container.
# minke, minke-oci and sctp (of the test kit) lie in /. Prints a line for each check, ends with the number of failures as exit code.
failures=0
check() { # check WHAT WANTED GOT
  if [ "$2" = "$3" ]; then echo "ok: $1"; else echo "FAILED: $1: wanted '$2', got '$3'"; failures=$((failures + 1)); fi
}

mkdir -p /r/bin /r/etc /r/tmp
cp /bin/busybox /sctp /r/bin/
for applet in sh timeout true; do ln -s busybox "/r/bin/$applet"; done
tar -C /r -cf /r.tar .
/minke daemon >/log 2>&1 &
engine=$!
export DOCKER_HOST=unix:///run/minke/docker.sock
for _ in $(seq 100); do /minke version >/dev/null 2>&1 && break; sleep 0.1; done
/minke import /r.tar box >/dev/null
/minke network create --subnet 10.9.0.0/24 other >/dev/null

/minke run -d --name server -p 7000:9000/sctp box sctp serve 9000 >/dev/null 2>/err
check "a kernel with SCTP needs no warning" "" "$(cat /err)"
check "the port is published" "0.0.0.0:7000" "$(/minke port server 9000/sctp | head -n 1)"
host=$(/minke network inspect -f '{{(index .IPAM.Config 0).Gateway}}' bridge)
server=$(/minke inspect -f '{{.NetworkSettings.Networks.bridge.IPAddress}}' server)
check "from a neighbour, at the container's own address" direct "$(/minke run --rm box sctp ask "$server:9000" direct)"
check "from a neighbour, at the host's address" hairpin "$(/minke run --rm box sctp ask "$host:7000" hairpin)"
check "from another network, at the host's address" routed "$(/minke run --rm --network other box sctp ask 10.9.0.1:7000 routed)"
check "from another network, not at the container's own" "" "$(/minke run --rm --init --network other box timeout 3 sctp ask "$server:9000" no 2>/dev/null)"
check "from the host itself" local "$(/sctp ask "$host:7000" local)"
check "from the host's loopback" loopback "$(/sctp ask 127.0.0.1:7000 loopback)"
check "the port is reserved" 125 "$(/minke run --rm -p 7000:9000/sctp box true 2>/dev/null; echo $?)"
/minke rm -f server >/dev/null
check "and then it is nobody's" "" "$(timeout 3 /sctp ask 127.0.0.1:7000 nobody 2>/dev/null)"
kill $engine
wait $engine
check "the engine ends" 0 $?
[ $failures = 0 ] || cat /log
exit $failures
