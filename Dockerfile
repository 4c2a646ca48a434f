# Builds the one binary, then leaves the compiler behind.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The commit that /version and jobs name the build by; empty if nobody says it.
ARG DOJANG_COMMIT=""
RUN DOJANG_COMMIT="$DOJANG_COMMIT" cargo build --release --locked

FROM debian:bookworm-slim
# Certificates for the download of datasets; curl for the health check.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --create-home --uid 10001 dojang \
    && install -d -o dojang -g dojang /data
COPY --from=build /src/target/release/dojang /usr/local/bin/dojang
USER dojang
ENV DOJANG_LISTEN=0.0.0.0:8080 DOJANG_DATA_DIR=/data
VOLUME /data
EXPOSE 8080
# dojang stops cleanly on SIGTERM: running jobs save a checkpoint first.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s CMD curl --fail --silent http://127.0.0.1:8080/readyz || exit 1
ENTRYPOINT ["dojang"]
CMD ["serve"]
