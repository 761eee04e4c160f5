FROM rust:1-slim-bookworm AS build
WORKDIR /build

# The dependencies alone, without the tables that the build script makes, so that a change of the source does not build them again. They need a C
# compiler for their cryptography, which this image has.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && touch src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked \
    && rm -r src

# The configuration's defaults and the dashboard are built into the binary. The copied files may be
# older than the stand-ins just built; touching them is what makes cargo look again.
COPY config config
COPY build.rs ./
COPY src src
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin pegasus
COPY --from=build /build/target/release/pegasus-nest /usr/local/bin/pegasus-nest

# The ledger, and what compression learns; a volume here outlasts the container.
RUN install -d -o 10001 -g 10001 /var/lib/pegasus-nest
ENV PEGASUS_LEDGER__PATH=/var/lib/pegasus-nest/ledger.db
ENV PEGASUS_COMPRESSION__RULES__FILE=/var/lib/pegasus-nest/rules.toml

# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
# Beyond loopback the start asks for auth.client_tokens, or for auth.allow_anonymous = true.
ENV PEGASUS_SERVER__LISTEN=0.0.0.0:3000
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["pegasus-nest", "health"]
ENTRYPOINT ["pegasus-nest"]
