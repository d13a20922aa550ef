#!/usr/bin/env bash
# SLURM with two nodes on one machine, then a command on it:   slurm_nodes.sh FOLDER COMMAND...
# To be started in network, mount and process namespaces of its own, which take everything with them when it ends:
#   unshare --net --mount --pid --fork --kill-child --mount-proc tests/slurm_nodes.sh FOLDER COMMAND...
set -eu
folder=$1
shift
mkdir -p "$folder"/{state,log,run} "$folder"/spool/{n1,n2} /tmp/ray
mount -t tmpfs tmpfs /run/netns 2>/dev/null || { mkdir -p /run/netns; mount -t tmpfs tmpfs /run/netns; }
ip link set lo up
ip link add bridge type bridge
ip addr add 10.77.0.254/24 dev bridge
ip link set bridge up
for node in 1 2; do
  ip netns add n$node
  ip link add wire$node type veth peer name eth0 netns n$node
  ip link set wire$node master bridge up
  ip -n n$node link set lo up
  ip -n n$node addr add 10.77.0.$node/24 dev eth0
  ip -n n$node link set eth0 up
  ip -n n$node route add default via 10.77.0.254
done
echo "CgroupPlugin=cgroup/v1" > "$folder/cgroup.conf"
export SLURM_CONF=$folder/slurm.conf
cat > "$SLURM_CONF" <<END
ClusterName=sweep
SlurmctldHost=$(hostname)(10.77.0.254)
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=6
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd-%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
SlurmdTimeout=5
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=2
NodeName=n1 NodeAddr=10.77.0.1 NodeHostname=n1 CPUs=2 RealMemory=4000 State=UNKNOWN
NodeName=n2 NodeAddr=10.77.0.2 NodeHostname=n2 CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
END
slurmctld -D > "$folder/log/controller.txt" 2>&1 &
for node in 1 2; do
  nsenter --net=/run/netns/n$node unshare --uts --mount --pid --fork --kill-child --mount-proc \
    bash -c "hostname n$node; mount -t tmpfs tmpfs /tmp/ray; exec slurmd -D -N n$node" > "$folder/log/node$node.txt" 2>&1 &
done
until [ "$(sinfo --noheader --format=%D --states=idle 2>/dev/null || true)" = 2 ]; do sleep 0.2; done
"$@"
