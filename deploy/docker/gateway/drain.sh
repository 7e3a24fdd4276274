# Written by scripts/compose.py from the Helm chart.
# Lets the gateway's calls end before Envoy is told to stop, which would drop them: the container's preStop hook.
#   bash drain.sh PRE_STOP_SECONDS GRACE_SECONDS [ADMIN_PORT]
# First new clients are kept away while the endpoints of the Service are updated everywhere; then connections close as
# their calls end. Returns when no call is in flight, or after both times. Bash only: Envoy's image has no curl.
admin=${3:-9901}

# The body of the admin interface's answer.
ask() {
    exec 3<>"/dev/tcp/127.0.0.1/$admin" || return 1
    printf '%s %s HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\nconnection: close\r\n\r\n' "$1" "$2" >&3
    cat <&3
    exec 3>&-
}

ask POST /healthcheck/fail >/dev/null || exit 0
sleep "$1"
end=$((SECONDS + $2))
while [ "$SECONDS" -lt "$end" ]; do
    case "$(ask GET '/stats?filter=^http.parley.downstream_rq_active$')" in
        *"downstream_rq_active: 0"*) exit 0 ;;
    esac
    sleep 0.5
done
