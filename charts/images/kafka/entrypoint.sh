#!/bin/sh
# One Kafka process, broker and controller in one, for trying Switchyard out. It writes only below KAFKA_DATA_DIR, so
# the root file system may be read-only; the storage is formatted once and then kept, with the same cluster id for good.
set -eu

: "${KAFKA_ADVERTISED_HOST:?KAFKA_ADVERTISED_HOST is not set; set it to the name under which clients reach the broker, such as its Service}"
: "${KAFKA_ADVERTISED_PORT:=9092}"
: "${KAFKA_PORT:=9092}"
: "${KAFKA_CONTROLLER_PORT:=9093}"
: "${KAFKA_CLUSTER_ID:=c3dpdGNoeWFyZC1rYWZrYQ}"
: "${KAFKA_DATA_DIR:=/var/lib/kafka}"
: "${KAFKA_HEAP:=512m}"
: "${KAFKA_LOG_LEVEL:=warn}"
: "${KAFKA_RETENTION_HOURS:=168}"
: "${KAFKA_RETENTION_BYTES:=-1}"
: "${KAFKA_SEGMENT_BYTES:=134217728}"
: "${KAFKA_MESSAGE_MAX_BYTES:=1048588}"
: "${KAFKA_MESSAGE_TIMESTAMP_TYPE:=LogAppendTime}"
: "${KAFKA_AUTO_CREATE_TOPICS:=false}"

config="$KAFKA_DATA_DIR/server.properties"
mkdir -p "$KAFKA_DATA_DIR/log" "$KAFKA_DATA_DIR/tmp"
# The native libraries of the compression codecs are unpacked here at each start; those of the last one are of no use.
rm -rf "$KAFKA_DATA_DIR/tmp"/*

cat > "$config" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$KAFKA_CONTROLLER_PORT
controller.listener.names=CONTROLLER
listeners=CLIENT://0.0.0.0:$KAFKA_PORT,CONTROLLER://127.0.0.1:$KAFKA_CONTROLLER_PORT
advertised.listeners=CLIENT://$KAFKA_ADVERTISED_HOST:$KAFKA_ADVERTISED_PORT
listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENT
log.dirs=$KAFKA_DATA_DIR/log
auto.create.topics.enable=$KAFKA_AUTO_CREATE_TOPICS
message.max.bytes=$KAFKA_MESSAGE_MAX_BYTES
log.message.timestamp.type=$KAFKA_MESSAGE_TIMESTAMP_TYPE
log.retention.hours=$KAFKA_RETENTION_HOURS
log.retention.bytes=$KAFKA_RETENTION_BYTES
log.segment.bytes=$KAFKA_SEGMENT_BYTES
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
PROPERTIES

set -- java "-Xms64m" "-Xmx$KAFKA_HEAP" -XX:+UseSerialGC -XX:-UsePerfData \
    -Djava.io.tmpdir="$KAFKA_DATA_DIR/tmp" \
    -Dorg.slf4j.simpleLogger.defaultLogLevel="$KAFKA_LOG_LEVEL" \
    -Dorg.slf4j.simpleLogger.showDateTime=true "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ssX" \
    -cp "/opt/kafka/lib/*"

if [ ! -f "$KAFKA_DATA_DIR/log/meta.properties" ]; then
    "$@" kafka.tools.StorageTool format --cluster-id "$KAFKA_CLUSTER_ID" --config "$config"
fi
exec "$@" kafka.Kafka "$config"
