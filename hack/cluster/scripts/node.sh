#!/usr/bin/env bash
# PID 1 of one node of an embedded cluster: containerd, kubelet and kube-proxy.
#
#   bash node.sh MARKER N
set -euo pipefail

n=$2
# shellcheck source=/dev/null
. /run/hitless/state/env
# shellcheck source-path=SCRIPTDIR source=private.sh
. /run/hitless/state/scripts/private.sh

# The pods' bridge is part of the LAN: all pods, nodes and the host are one layer 2 segment, and so
# multicast reaches them all. It must have its addresses before the kubelet starts.
network() {
    # Frames are for the bridge alone. If netfilter saw them, it would send a Service's packet out
    # by the port it came in by, which a bridge does not do.
    local switch=/proc/sys/net/bridge/bridge-nf-call-iptables
    if [ -e "$switch" ]; then echo 0 > "$switch"; fi
    # Nor may the router tell anyone of a shorter way: it must see both directions.
    echo 0 | tee /proc/sys/net/ipv4/conf/{all,default}/send_redirects > /dev/null
    # The same hardware address each time: others must find a node again that was killed.
    ip link add cbr0 address "$(printf '02:00:c6:12:00:%02x' "$n")" type bridge mcast_snooping 0
    ip link set eth0 master cbr0 up
    ip addr add "$gateway/$PODS_BITS" dev cbr0
    ip addr add "$address/24" dev cbr0
    ip link set cbr0 up
    ip route add default via "$API_IP"
}

write_configuration() {
    mkdir /run/cni
    cat > /run/cni/10-bridge.conflist << END
{
  "cniVersion": "1.0.0",
  "name": "cluster",
  "plugins": [
    {
      "type": "bridge", "bridge": "cbr0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "$PODS", "gateway": "$gateway",
                     "rangeStart": "$own_pods.10", "rangeEnd": "$own_pods.250"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
END
    # restrict_oom_score_adj: we may lack CAP_SYS_RESOURCE, and then no container would start.
    cat > /run/containerd.toml << END
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "$PAUSE_IMAGE"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/run/hitless/bin"]
  conf_dir = "/run/cni"
END
    : > /run/resolv.conf
    cat > /run/kubelet.yaml << END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: /run/hitless/state/pki/ca.crt}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP/node$n
clusterDNS: [$DNS_IP]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
enforceNodeAllocatable: [pods]
evictionHard: {imagefs.available: "0%", nodefs.available: "0%", nodefs.inodesFree: "0%"}
failCgroupV1: false
failSwapOn: false
imageGCHighThresholdPercent: 100
localStorageCapacityIsolation: false
nodeStatusUpdateFrequency: 4s
resolvConf: /run/resolv.conf
serializeImagePulls: false
volumePluginDir: /run/volume-plugins
END
}

import_images() {
    local name
    for name in pause coredns; do
        ctr --namespace k8s.io images import --label io.cri-containerd.image=managed \
            "/run/hitless/bin/$name.tar"
    done
}

make_private /run/hitless/state /run/hitless/bin "/run/hitless/state/node$n"
hostname "node$n"
address=$NODES_PREFIX.$((10 + n))
own_pods=$PODS_PREFIX.$((PODS_FIRST + n))
gateway=$own_pods.1
network
write_configuration
launch "containerd$n" containerd --config /run/containerd.toml
await 60 "containerd of node $n" ctr version
import_images
await 120 "the API server" test -e /run/hitless/state/api-ready
launch "kubelet$n" kubelet --config=/run/kubelet.yaml --root-dir=/var/lib/kubelet \
    --cert-dir=/var/lib/kubelet/pki --kubeconfig="/run/hitless/state/pki/node$n.kubeconfig" \
    --hostname-override="node$n" --node-ip="$address"
# --masquerade-all: a reply between two pods goes straight over the segment, past the node that
# changed the request's destination, unless that changed the source as well.
launch "kube-proxy$n" kube-proxy --kubeconfig=/run/hitless/state/kubeconfig --proxy-mode=nftables \
    --masquerade-all --cluster-cidr="$PODS" --conntrack-max-per-core=0 \
    --hostname-override="node$n"
wait # for good: only the end of the namespace ends these
exec sleep infinity
