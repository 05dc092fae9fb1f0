# Two stages: a toolchain that builds, and a small system that holds one binary and no shell scripts of ours.
FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY Cargo.toml Cargo.lock ./
COPY src src
# Not built here, but the manifest names them.
COPY benches benches
RUN cargo build --release --locked --bin corelane

FROM debian:bookworm-slim
# The roots that rustls does not bring itself are the system's, for custom deployments.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin corelane \
    && install -d -o corelane -g corelane /app
# The binary stands outside /app, so that a volume mounted there does not hide it; the volume holds config.json.
COPY --from=build /source/target/release/corelane /usr/local/bin/corelane
USER corelane
WORKDIR /app
ENV APP_DIR=/app APP_HOST=0.0.0.0 APP_PORT=8080
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/corelane"]
CMD ["serve"]
