#!/usr/bin/env bash
# PID 1 of an embedded cluster: its control plane, and the LAN that joins the nodes and the host.
#
#   bash lab.sh MARKER STATE BIN
#
# MARKER is what the driver knows our processes by. Orders come from the driver, a line each,
# through the named pipe STATE/control:
#   api-ready          the API server answers: start what needs it
#   node N             start node N, in nested namespaces of its own
#   services-via IP    send the control plane's own traffic to Services through that node
set -euo pipefail

marker=$1
# shellcheck source=/dev/null
. "$2/env"
# shellcheck source-path=SCRIPTDIR source=private.sh
. "$2/scripts/private.sh"

lan() {
    ip link add lan0 type bridge mcast_snooping 0
    ip addr add "$API_IP/24" dev lan0
    ip link set lan0 up
    await 20 "the driver to push its veth in" ip link show uplink
    ip link set uplink master lan0 up
    local n
    for n in $(seq "$NODES_MAX"); do
        ip route add "$PODS_PREFIX.$((PODS_FIRST + n)).0/24" via "$NODES_PREFIX.$((10 + n))"
    done
    ip route add "$SERVICES" via "$NODES_PREFIX.11"
}

etcd_and_api_server() {
    launch etcd etcd --data-dir /run/hitless/state/etcd --unsafe-no-fsync --log-level warn \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380
    launch kube-apiserver kube-apiserver \
        --etcd-servers=http://127.0.0.1:2379 \
        --bind-address=0.0.0.0 --secure-port=6443 --advertise-address="$API_IP" \
        --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
        --client-ca-file="$pki/ca.crt" \
        --service-account-issuer=https://kubernetes.default.svc \
        --service-account-key-file="$pki/service-accounts.key" \
        --service-account-signing-key-file="$pki/service-accounts.key" \
        --service-cluster-ip-range="$SERVICES" \
        --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
        --allow-privileged \
        --enable-aggregator-routing \
        --kubelet-client-certificate="$pki/admin.crt" --kubelet-client-key="$pki/admin.key" \
        --kubelet-preferred-address-types=InternalIP
}

controllers() {
    # Without the higher limits the default ServiceAccount takes 10 s to appear.
    launch kube-controller-manager kube-controller-manager \
        --kubeconfig="$admin" --bind-address=127.0.0.1 --leader-elect=false \
        --kube-api-qps=300 --kube-api-burst=500 \
        --service-account-private-key-file="$pki/service-accounts.key" \
        --root-ca-file="$pki/ca.crt" --use-service-account-credentials \
        --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
        --allocate-node-cidrs=false --node-monitor-grace-period=20s \
        --flex-volume-plugin-dir=/run/volume-plugins
    launch kube-scheduler kube-scheduler \
        --kubeconfig="$admin" --bind-address=127.0.0.1 --leader-elect=false
}

node() {
    local n=$1
    ip netns delete "node$n" 2> /dev/null || true # of a node that was killed
    ip link delete "port$n" 2> /dev/null || true
    ip netns add "node$n"
    ip link add "port$n" type veth peer name eth0 netns "node$n"
    ip link set "port$n" master lan0 up
    nsenter --net="/run/netns/node$n" \
        unshare --mount --pid --uts --ipc --fork --kill-child --mount-proc \
        bash /run/hitless/state/scripts/node.sh "$marker" "$n" \
        > "/run/hitless/state/log/node$n.log" 2>&1 &
}

make_private "$2" "$3" "$2/lab"
pki=/run/hitless/state/pki
admin=/run/hitless/state/kubeconfig
exec 3<> /run/hitless/state/control
lan
etcd_and_api_server
while read -r verb argument <&3; do
    case $verb in
        api-ready)
            touch /run/hitless/state/api-ready
            controllers
            ;;
        node) node "$argument" ;;
        services-via) ip route replace "$SERVICES" via "$argument" ;;
        *) echo "unknown order: $verb" >&2 ;;
    esac
done
