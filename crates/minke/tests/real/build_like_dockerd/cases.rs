//! The Dockerfiles, and the files they are built from.

/// Makes the folder that all of them are built in. Its times are older than those of the base image.
pub(super) const CONTEXT: &str = r#"
umask 022
echo a >a.txt; echo b >b.txt; echo spaced >'with space'; : >empty; printf secret >../key
mkdir -p dir/deep/deeper dir/void links modes/closed modes/setgid modes/sticky hidden/kept 'b[r]'
echo one >dir/one; echo new >dir/new; echo two >dir/deep/two; echo three >dir/deep/deeper/three
echo log >dir/a.log; echo log >top.log; echo no >hidden/no; echo yes >hidden/kept/yes; echo bracket >'b[r]/file'
ln -s a.txt link; ln -s dir link-to-dir
echo hard >links/first; ln links/first links/second; ln links/first dir/third
ln -s first links/relative; ln -s /etc/passwd links/absolute; ln -s nowhere links/dangling; ln -s ../dir links/up
for mode in 4755 2755 6711 0000 0400 0777 1644; do echo $mode >modes/$mode; chmod $mode modes/$mode; done
chmod 0500 modes/closed; chmod 2775 modes/setgid; chmod 1777 modes/sticky
chown -R 1000:33 a.txt modes links
printf '# none of these\n**/*.log\nhidden\n!hidden/kept\n/dir/deep/deeper\n' >.dockerignore
mkdir -p ../packed/top/within ../packed/old/deep
echo packed >../packed/top/file; ln ../packed/top/file ../packed/top/hard; ln -s file ../packed/top/soft; ln -s /abs ../packed/top/abs
mkfifo ../packed/top/pipe; mknod ../packed/top/null c 1 3; echo packed >../packed/old/file; echo packed >../packed/old/deep/added
chown -R 1000:33 ../packed/top; chown -h 5:6 ../packed/top/soft
chmod 4750 ../packed/top/file; chmod 2711 ../packed/top/within; chmod 0711 ../packed/old ../packed/old/deep
find .. -exec touch -hd @1600000000 {} +
for kind in .gz:-z .bz2:-j .xz:-J :--no-auto-compress; do tar -C ../packed ${kind#*:} -cf packed.tar${kind%:*} old top; done
gzip -c a.txt >no-archive.tar.gz
find . -exec touch -hd @1600000000 {} +
"#;

/// COPY, ADD and what is left out of the context. What BuildKit 0.8 loses isn't here: FIFOs and file capabilities of a context, special
/// bits of `--chmod`, `--chown` of what is in an archive.
pub(super) const COPIES: [(&str, &str); 10] = [
    (
        "files-folders-and-wildcards",
        "FROM scratch\nCOPY a.txt /\nCOPY a.txt b.txt dir/\nCOPY dir /copied\nCOPY dir/ /copied/again/\nCOPY *.txt dir/n* /wild/\n\
         COPY [\"with space\", \"/with space\"]\nCOPY a.txt /new/folder/renamed\nCOPY a.txt /new/folder/\nCOPY ?.txt [ab].t?t /single/\n\
         COPY b[[]r]/file /bracket\nCOPY empty dir/void /void/\nADD a.txt dir /added/\nCOPY dir/* /starred/\n",
    ),
    (
        "everything-but-what-is-ignored",
        "FROM scratch\nCOPY . /all/\nCOPY hidden /hidden\nADD dir/deep /deep\n",
    ),
    ("to-the-root-of-a-system", "FROM base\nCOPY . .\n"),
    (
        "owners",
        "FROM base\nCOPY --chown=1000:33 dir /owned/inner\nCOPY --chown=alice a.txt /by/name\nCOPY --chown=alice:audio dir links /both/\n\
         COPY --chown=33 a.txt /number\nCOPY --chown=0:www a.txt /mixed\nADD --chown=5:6 a.txt b.txt /x/y/\nUSER alice\nCOPY a.txt /as/alice\n",
    ),
    (
        "modes",
        "FROM base\nRUN mkdir /x /dir /added\nCOPY modes /modes\nCOPY --chmod=0750 a.txt /x/a\nCOPY --chmod=0700 dir /dir\nCOPY --chown=1:2 --chmod=755 modes/0777 /both\n\
         COPY --chown=1000:33 modes /owned\nADD --chmod=0600 a.txt /added/\n",
    ),
    (
        "links",
        "FROM base\nCOPY link /followed\nCOPY link /into/\nCOPY link-to-dir /through\nCOPY link-to-dir/one /one\nCOPY links /links\n\
         COPY links/first links/second /two/\nCOPY links/up /some/\nCOPY li* /several/\n",
    ),
    (
        "onto-what-is-there",
        "FROM base\nCOPY dir /old\nCOPY a.txt /old/file\nCOPY a.txt /old/link\nCOPY b.txt /old/to-file\nCOPY dir /old/link/\nCOPY links /old/link/more\n\
         COPY modes /old/moved\nCOPY modes /old/moved\n",
    ),
    (
        "archives",
        "FROM base\nADD packed.tar.gz /gz/\nADD packed.tar.bz2 /bz2\nADD packed.tar.xz /xz/\nADD packed.tar /new/plain/\nCOPY packed.tar.gz /kept/\n\
         ADD no-archive.tar.gz /none/\nADD packed.tar /\n",
    ),
    (
        "archives-with-other-things",
        "FROM base\nADD packed.tar.g? a.txt /several/\nWORKDIR /w\nADD packed.tar .\nADD dir packed.tar.xz deeper/\n",
    ),
    (
        "from-stages-and-images",
        "FROM base AS one\nRUN mkdir -m 2750 /out && echo made >/out/file && ln /out/file /out/hard && ln -s file /out/link && chown -R 33:1000 /out\n\
         FROM scratch AS two\nCOPY --from=one /out /out\nCOPY --from=0 /out/link /link\nFROM base\nCOPY --from=two / /two\nCOPY --from=base /etc/passwd /old /from/\n\
         COPY --from=one --chown=alice /out/* /again/\nCOPY --from=one /out/ /old/\n",
    ),
];

/// Instructions that change the configuration, and how their words are read.
pub(super) const CONFIGURATIONS: [(&str, &str); 9] = [
    (
        "all",
        "FROM base\nMAINTAINER Some One <some@example.org>\nENV A=1 B=\"two words\" C='$A' D=three\\ words\nENV OLD form of it\nLABEL a=b \"c d\"=\"e $A\" f=\n\
         LABEL old form\nEXPOSE 80 443/tcp 53/udp 8000-8002\nVOLUME /one /two\nVOLUME [\"/three\", \"/with space\"]\nUSER alice:audio\nSTOPSIGNAL SIGINT\n\
         ENTRYPOINT [\"cat\", \"-u\"]\nCMD [\"a\", \"b c\"]\nHEALTHCHECK --interval=1m30s --timeout=100ms --start-period=1h --retries=7 CMD [\"true\", \"x\"]\n",
    ),
    (
        "shells",
        "FROM base\nRUN echo default >/default\nCMD echo $HOME \"quoted\"\nHEALTHCHECK --interval=2s CMD test -e /x || exit 1\n\
         SHELL [\"/bin/sh\", \"-e\", \"-c\"]\nRUN echo $- >/flags\nENTRYPOINT exec cat \\\n  /flags\nRUN [\"sh\", \"-c\", \"echo exec >/exec\"]\n",
    ),
    (
        "reset",
        "FROM base AS parent\nENTRYPOINT [\"cat\"]\nCMD [\"x\"]\nHEALTHCHECK CMD true\nUSER 33\nFROM parent\nENTRYPOINT [\"tac\"]\nHEALTHCHECK NONE\nUSER root\nCMD []\n",
    ),
    ("an-entry-point-takes-the-command", "FROM base\nENTRYPOINT [\"cat\"]\n"),
    (
        "expansions",
        "ARG TAG=base\nARG UNUSED\nFROM ${TAG} AS first\nARG GIVEN\nARG DEFAULT=of-$GIVEN\nARG TAG\nARG NEVER\nENV A=a E=\nENV A=new B=$A C=${A}c D=${NONE:-default} F=${A:+set} G=${E:-empty} H=\\$A \\\n  I='single $A' J=\"double $A\" K=a\\\\b\n\
         LABEL $A=$B tag=$TAG given=\"$GIVEN\" never=${NEVER:-no}\nWORKDIR /$A/${D}\nEXPOSE ${PORT:-9000}/udp\nVOLUME /v/$A\nUSER ${A:+alice}\nSTOPSIGNAL ${S:-15}\n\
         COPY --chown=${A:+33} $A.txt* a.* ./$GIVEN/\nRUN echo \"$A $GIVEN $DEFAULT ${NEVER-unset}\" >/tmp/said\nCMD echo $A ${A}\n",
    ),
    (
        "lines",
        "# escape=`\n# a comment\nfrom base as x\nrun echo one `\n  # within\n\n  && echo two `\n  >/two\nEnv PATH_LIKE=C:\\x ESCAPED=`$x\nlabel a=b `\n      c=d\ncopy a.txt `\n /c\n\
         ARG   SPACED\ncmd   [ \"a\" ,  \"b\" ]\n",
    ),
    (
        "folders",
        "FROM base\nWORKDIR relative\nWORKDIR /made/deep\nWORKDIR further\nRUN pwd >/tmp/pwd\nWORKDIR ../up/.\nUSER alice\nWORKDIR /as/alice\nENV D=/env\nWORKDIR $D/x\nWORKDIR /old/\nCOPY a.txt .\nCOPY a.txt sub/\nWORKDIR /\n",
    ),
    (
        "triggers",
        "FROM base AS parent\nONBUILD COPY a.txt /triggered/\nONBUILD RUN echo ran >/triggered/ran\nONBUILD ENV FROM=trigger\nONBUILD WORKDIR /triggered\nFROM parent\nRUN cp ran $FROM\n\
         ONBUILD RUN  echo   spaces\nONBUILD CMD [\"a\",  \"b\"]\nonbuild label x=y\n",
    ),
    (
        "stages",
        "FROM base AS one\nENV A=one\nWORKDIR /one\nLABEL l=one\nEXPOSE 1\nFROM one AS two\nENV B=$A\nUSER 33\nFROM base AS unneeded\nRUN false\nFROM two\nARG GIVEN\nARG A=ignored\nENV D=$A\nRUN pwd >/tmp/pwd; id -u >/tmp/id; echo $A $B >/tmp/env\nLABEL l=last\n",
    ),
];

/// What a step sees, and what it leaves. Of groups it says each once: BuildKit 0.8 has not the first among the further ones (CVE-2022-36109).
pub(super) const RUNS: [(&str, &str); 6] = [
    (
        "surroundings",
        "FROM base\nARG GIVEN\nARG DEFAULT=default\nENV NAME=value\nRUN env | sort >/env; pwd >/pwd; id -u >/id; umask >/umask; hostname >/hostname; ls /dev | sort >/devices\n\
         RUN stat -c '%n %a %u %g' / /tmp /dev /dev/shm /dev/null /dev/pts /proc /sys >/stats; cat >/stdin; echo mine >/etc/hostname\n\
         RUN grep -E '^(Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/self/status >/confinement; cat /proc/self/uid_map >/map; ls -d /.docker* >/marks 2>&1 || true\n\
         RUN ip addr | grep -E '^[0-9]' | cut -d: -f2 | head -1 >/interfaces; (echo x >/proc/sys/kernel/hostname) 2>/dev/null || echo refused >/refused; grep -o '127.*buildkitsandbox' /etc/hosts | cut -f1 >/hosts\n",
    ),
    (
        "users",
        "FROM base\nUSER alice\nRUN echo $(id -u):$(id -g) $(id -G | xargs -n1 | sort -u) >/tmp/alice; echo $HOME >>/tmp/alice; grep CapEff /proc/self/status >>/tmp/alice\nUSER alice:www\nRUN echo $(id -u):$(id -g) $(id -G | xargs -n1 | sort -u) >/tmp/group; echo $HOME >>/tmp/group\nUSER 33\nRUN echo $(id -u):$(id -g) $(id -G | xargs -n1 | sort -u) >/tmp/known; echo $HOME >>/tmp/known\n\
         USER 4242\nRUN echo $(id -u):$(id -g) $(id -G | xargs -n1 | sort -u) >/tmp/unknown; echo $HOME >>/tmp/unknown\nUSER 4242:4343\nRUN echo $(id -u):$(id -g) $(id -G | xargs -n1 | sort -u) >/tmp/both; echo $HOME >>/tmp/both\nUSER 1000:audio\nENV HOME=/mine\nRUN echo $(id -u):$(id -g) $(id -G | xargs -n1 | sort -u) >/tmp/mine; echo $HOME >>/tmp/mine\nUSER root\nRUN echo $(id -u):$(id -g) $(id -G | xargs -n1 | sort -u) >/tmp/root\n",
    ),
    (
        "replacements",
        "FROM base\nRUN rm /old/file && rm -r /old/deep && mkdir /old/deep && echo new >/old/deep/new\nRUN rm -r /old/folder && echo file >/old/folder\nRUN rm /old/other && mkdir /old/other && echo in >/old/other/inside\n\
         RUN rm /old/link && mkdir /old/link && mv /old/moved /moved\nRUN rm -r /old/deep && mkdir -p /old/deep/again\nRUN touch /tmp/gone && rm /tmp/gone\nRUN true\nRUN rm -r /old/link /moved && ln -s other /old/link\nCOPY a.txt /old/file\n",
    ),
    (
        "attributes",
        "FROM base\nRUN chmod 4711 /old/mode && chown 1000:33 /old/other && touch -d '2001-02-03 04:05:06' /old/time && chmod 1777 /old/deep && chown -h 5:6 /old/link\n\
         RUN ln -s nowhere /dangling && mkfifo -m 622 /pipe && mknod /node c 1 3 && mkdir -m 1777 /sticky && mkdir -m 2755 /setgid && echo x >/first && ln /first /second && touch -d @0 /zero\n\
         RUN echo more >>/first; rm /second; umask 077; mkdir /private; echo p >/private/file\nRUN dd if=/dev/zero of=/zeros bs=1000 count=100 2>/dev/null; echo 'names' >\"/tmp/a b\"; echo 'of bytes' >/tmp/ö\n",
    ),
    (
        "mounts",
        "FROM base AS other\nRUN echo from a stage >/tmp/file\nFROM base\nRUN --mount=type=bind,from=other,source=/tmp,target=/mnt/bind cat /mnt/bind/file >/bound; touch /mnt/bind/x 2>/dev/null || echo refused >/refused\n\
         RUN --mount=target=/mnt/bind ls -a /mnt/bind >/context; ls -R /mnt/bind/hidden /mnt/bind/dir >>/context\nRUN --mount=type=bind,source=dir/one,target=/mnt/key cat /mnt/key >/file\nRUN --mount=type=bind,target=/mnt/bind,rw echo lost >/mnt/bind/new\n\
         RUN --mount=type=cache,target=/mnt/cache,uid=1000,gid=33,mode=0750 stat -c '%a %u %g' /mnt/cache >/cache; echo kept >/mnt/cache/file\nRUN --mount=type=cache,target=/mnt/cache,uid=1000,gid=33,mode=0750 cat /mnt/cache/file >/kept\n\
         RUN --mount=type=cache,id=two,from=other,source=/tmp,target=/mnt/cache,sharing=locked ls /mnt/cache >/filled; stat -c '%a %u %g' /mnt/cache >>/filled\nRUN --mount=type=cache,target=/mnt/cache,ro touch /mnt/cache/x 2>/dev/null || echo refused >/read-only\n\
         RUN --mount=type=cache,id=both,sharing=locked,target=/mnt/bind --mount=type=cache,id=both,sharing=locked,target=/mnt/cache echo same >/mnt/bind/x; cat /mnt/cache/x >/twice\n\
         RUN --mount=type=bind,from=other,source=/,target=/mnt/bind,ro --mount=type=tmpfs,target=/mnt/bind/tmp touch /mnt/bind/tmp/below && ls /mnt/bind/tmp >/below\n\
         RUN --mount=type=tmpfs,target=/mnt/tmpfs stat -c '%a %u %g' /mnt/tmpfs >/tmpfs; echo lost >/mnt/tmpfs/x\n",
    ),
    (
        "secrets",
        "FROM base\nRUN --mount=type=secret,id=key stat -c '%a %u %g' /run/secrets/key >/secret; wc -c </run/secrets/key >>/secret\nRUN --mount=type=secret,id=key,target=/mnt/key,mode=0444,uid=33,gid=1000,required stat -c '%a %u %g' /mnt/key >/other\n\
         RUN --mount=type=secret,id=absent ls -l /run/secrets | wc -l >/absent\n",
    ),
];

/// What can't be built. A `--chown` to somebody who is unknown is not here: BuildKit gives that to root without a word.
pub(super) const REFUSED: [&str; 14] = [
    "FROM base\nCOPY nosuch /\n",
    "FROM base\nCOPY top.log /\n",
    "FROM base\nCOPY hidden/no /\n",
    "FROM base\nCOPY ../key /\n",
    "FROM base\nCOPY dir /old/file\n",
    "FROM base\nCOPY a.txt /etc/passwd/x\n",
    "FROM base\nRUN exit 3\n",
    "FROM base\nRUN --mount=type=secret,id=absent,required true\n",
    "FROM base\nUSER unknown-user\nRUN true\n",
    "FROM base\nEXPOSE many\n",
    "FROM base\nSTOPSIGNAL SIGNONE\n",
    "FROM base\nENV A\n",
    "FROM base\nONBUILD FROM base\n",
    "RUN true\n",
];
