# Runs run_function.py with the interpreter $python. If there is a requirements.txt, in a virtual environment that
# is made once for each node and shared by all functions with the same requirements ($requirements is their digest).

fail() {
    echo "$1" >&2
    exit 1
}

quietly="--quiet --disable-pip-version-check"

make_environment() {
    rm -rf "$1"
    if command -v uv >/dev/null; then
        uv venv --quiet --python "$python" "$1" && uv pip install --quiet --python "$1/bin/python" -r requirements.txt
    elif "$python" -m venv --without-pip "$1" \
        && "$python" -m pip --python "$1/bin/python" --version >/dev/null 2>&1; then
        # From 22.3 on, pip serves other environments. To install it in this one takes longer than most packages.
        "$python" -m pip --python "$1/bin/python" install $quietly -r requirements.txt
    else
        "$python" -m venv "$1" && "$1/bin/python" -m pip install $quietly -r requirements.txt
    fi && touch "$1/complete"
}

version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') \
    || fail "The node has no working interpreter '$python'. Install Python by the start task, or set \`python\`."
case $version in
    [012].* | 3.[0-6])
        fail "The interpreter '$python' of the node is Python $version, and functions need 3.7 or later. Set \`python\` to a newer one."
        ;;
esac

if [ -n "$requirements" ]; then
    # One for each user: what one has made, another can neither lock nor complete.
    environments=${AZ_BATCH_NODE_SHARED_DIR:-/tmp}/airflow-batchlinux-$(id -u)
    environment=$environments/$requirements-$version
    mkdir -p "$environments" || fail "The directory $environments cannot be made."
    # Several tasks may run on a node concurrently. A task that was ended half-way leaves no file "complete".
    (
        flock 9 || exit 1
        [ -e "$environment/complete" ] || make_environment "$environment"
    ) 9>"$environment.lock" || fail "The requirements could not be installed on this node."
    python=$environment/bin/python
fi

exec "$python" run_function.py
