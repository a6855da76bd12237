# shellcheck shell=bash
# Sourced by PID 1 of a new mount, PID and network namespace. Gives it a /run, /var/lib, /var/log
# and /sys of its own, so that nothing written inside reaches the host.

# make_private STATE BIN OWN: the cluster's folder, the programs' folder, and the folder on disk
# that /var/lib and /var/log lead to. From here on they are /run/hitless/state and /run/hitless/bin.
make_private() {
    local state=$1 bin=$2 own=$3 new=$3/run
    mkdir -p "$new" "$own"/{cni,containerd,kubelet,log}
    mount --make-rprivate /

    # Built aside and moved into place as a whole: the folders may lie below /run or /var/lib.
    mount -t tmpfs -o mode=755 tmpfs "$new"
    mkdir -p "$new"/{lib,lock,netns,sys,sysctl,tmp} "$new"/hitless/{bin,state}
    mount --bind "$state" "$new/hitless/state"
    mount --bind "$bin" "$new/hitless/bin"
    mount -t tmpfs -o mode=755 tmpfs "$new/lib"
    local name
    for name in cni containerd kubelet; do
        mkdir "$new/lib/$name"
        mount --bind "$own/$name" "$new/lib/$name"
    done
    # A new network namespace wants a new sysfs, for /sys/class/net; the cgroups stay the host's.
    mount -t sysfs sysfs "$new/sys"
    mount --rbind /sys/fs/cgroup "$new/sys/fs/cgroup"
    mount --bind "$own/log" /var/log
    mount --no-mtab --move "$new" /run
    mount --move /run/sys /sys
    mount --move /run/lib /var/lib

    fake_sysctls
    ip link set lo up
    echo 1 > /proc/sys/net/ipv4/ip_forward
    export PATH=/run/hitless/bin:$PATH TMPDIR=/run/tmp
    # A peer group of its own, so that volumes can be mounted into pods. Must come last: no mount
    # above may spread.
    mount --make-rshared /
}

# The kubelet sets these for the whole machine: let it set something else.
fake_sysctls() {
    local name fake
    for name in kernel/keys/root_maxbytes kernel/keys/root_maxkeys kernel/panic \
        kernel/panic_on_oops vm/overcommit_memory vm/panic_on_oom; do
        [ -e "/proc/sys/$name" ] || continue
        fake=/run/sysctl/${name//\//.}
        cat "/proc/sys/$name" > "$fake"
        mount --bind "$fake" "/proc/sys/$name"
    done
}

# launch NAME COMMAND...: run a component in the background with a log of its own. None of them ever
# ends by itself, so if one does, `failed` says so to whoever waits for the cluster.
launch() {
    local name=$1 code=0
    shift
    {
        "$@" > "/run/hitless/state/log/$name.log" 2>&1 || code=$?
        echo "$name ended with exit code $code" >> /run/hitless/state/failed
    } &
}

# await SECONDS WHAT COMMAND...: poll until COMMAND succeeds; past the limit, give up loudly.
await() {
    local limit_s=$1 what=$2 end
    shift 2
    end=$((SECONDS + limit_s))
    until "$@" > /dev/null 2>&1; do
        if [ "$SECONDS" -ge "$end" ]; then
            echo "waited $limit_s s for $what" | tee -a /run/hitless/state/failed >&2
            exit 1
        fi
        sleep 0.05
    done
}
