#!/bin/sh
# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Not one of Apache's scripts: the lab's own, for archives assembled from Maven artifacts.
# Honours JVMFLAGS and JAVA_HOME, as Apache's scripts do.
set -eu
base=$(cd "$(dirname "$0")/.." && pwd)
java=java
[ -z "${JAVA_HOME:-}" ] || java="$JAVA_HOME/bin/java"
# shellcheck disable=SC2086  # JVMFLAGS holds several words by intention
exec "$java" ${JVMFLAGS:--Xmx128m} -Dzookeeper.log.dir="${ZOO_LOG_DIR:-.}" -cp "$base/conf:$base/lib/*" "$@"
