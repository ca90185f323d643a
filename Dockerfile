# docker build -t darknet-vae . && docker run --rm -v "$PWD:/data" darknet-vae train data.csv
ARG PYTHON=3.12-slim-bookworm

FROM python:${PYTHON} AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN CUDA=0 python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}
# EXTRAS=[plot,report] adds what those verbs need.
ARG EXTRAS=
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    python -m pip install --no-cache-dir "darknet-vae${EXTRAS} @ file://$(echo /wheels/darknet_vae-*.whl)" && \
    useradd --create-home --uid 1000 user && mkdir /data && chown user /data
USER user
WORKDIR /data
ENTRYPOINT ["darknet-vae"]
CMD ["--help"]
