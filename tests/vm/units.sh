# Run by `make vm` as the only script of a virtual machine: a Debian that systemd has booted. minke, minke-oci and the units of dist/systemd
# lie in /. Prints a line for each check, ends with the number of failures as exit code.
failures=0
check() { # check WHAT WANTED GOT
  if [ "$2" = "$3" ]; then echo "ok: $1"; else echo "FAILED: $1: wanted '$2', got '$3'"; failures=$((failures + 1)); fi
}
has() { # has WHAT PART WHOLE
  case $3 in *"$2"*) echo "ok: $1" ;; *) echo "FAILED: $1: no '$2' in '$3'"; failures=$((failures + 1)) ;; esac
}
# shows WHAT WANTED COMMAND…: the command says so within 20 seconds
shows() {
  what=$1 wanted=$2 got= tries=0
  shift 2
  while [ $tries -lt 40 ]; do
    got=$("$@" 2>&1)
    case $got in *"$wanted"*) echo "ok: $what"; return ;; esac
    tries=$((tries + 1))
    sleep 0.5
  done
  echo "FAILED: $what: no '$wanted' in '$got'"
  failures=$((failures + 1))
}
state() { systemctl show --value -p ActiveState "$1"; }

echo "--- the units, kernel $(uname -r), $(systemctl --version | head -n 1)"
install -D -t /usr/local/bin /minke /minke-oci
install -D -m 644 -t /usr/local/lib/systemd/system /minke.service /minke.socket
install -D -m 644 /minke.sysusers.conf /usr/local/lib/sysusers.d/minke.conf
systemd-sysusers
systemctl daemon-reload
systemctl start minke.socket
check "the socket is there" "660 root docker" "$(stat -c '%a %U %G' /run/minke/docker.sock)"
check "and no engine yet" inactive "$(state minke.service)"
has "the first client starts one" "Engine:" "$(minke version 2>&1)"
check "it runs" active "$(state minke.service)"
shows "and says where it listens" "API listen on fd://3" journalctl -o cat -u minke.service

mkdir -p /box/bin && cp /bin/busybox /box/bin/ && ln -s busybox /box/bin/sh && ln -s busybox /box/bin/sleep && ln -s busybox /box/bin/echo
tar -C /box -c . | minke import - box >/dev/null
minke run -d --network none --name one box sleep 1000 >/run.log 2>&1
check "run" 0 $?
pid=$(minke inspect -f '{{.State.Pid}}' one)

mkdir -p /etc/minke && echo '{"labels": ["site=here"]}' >/etc/minke/daemon.json
systemctl reload minke.service
check "reload" 0 $?
shows "the new labels" '["site=here"]' minke info -f '{{json .Labels}}'
echo '{"lables": []}' >/etc/minke/daemon.json
systemctl reload minke.service
shows "a file with a mistake is named in the log" "unknown field \`lables\`" journalctl -o cat -u minke.service
check "and leaves the engine as it is" '["site=here"]' "$(minke info -f '{{json .Labels}}')"
rm /etc/minke/daemon.json

engine=$(systemctl show --value -p MainPID minke.service)
systemctl restart minke.service
check "restart" 0 $?
[ "$engine" != "$(systemctl show --value -p MainPID minke.service)" ]
check "another engine" 0 $?
check "the same container" "$pid running" "$(minke inspect -f '{{.State.Pid}} {{.State.Status}}' one)"
check "which can be entered" here "$(minke exec one echo here)"
systemctl stop minke.service minke.socket
check "a stop leaves it alone" 0 "$(kill -0 "$pid"; echo $?)"
check "and the engine ended well" success "$(systemctl show --value -p Result minke.service)"
systemctl start minke.socket
check "the next client finds it" one "$(minke ps --format '{{.Names}}')"
minke rm -f one >/dev/null
check "and removes it" "" "$(minke ps -aq)"
exit $failures
