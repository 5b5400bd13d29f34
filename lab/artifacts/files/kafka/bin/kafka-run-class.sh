#!/bin/sh
# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Not Apache's script of this name: the lab's own, for archives assembled from Maven artifacts.
# Honours KAFKA_HEAP_OPTS, KAFKA_OPTS, KAFKA_LOG4J_OPTS and JAVA_HOME, as Apache's does.
set -eu
base=$(cd "$(dirname "$0")/.." && pwd)
java=java
[ -z "${JAVA_HOME:-}" ] || java="$JAVA_HOME/bin/java"
# shellcheck disable=SC2086  # the option variables hold several words by intention
exec "$java" ${KAFKA_HEAP_OPTS:--Xmx256m} \
  ${KAFKA_LOG4J_OPTS:-"-Dlog4j.configuration=file:$base/config/tools-log4j.properties"} \
  ${KAFKA_OPTS:-} -cp "$base/libs/*" "$@"
