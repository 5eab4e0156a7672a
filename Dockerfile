# One image for every process; the command decides: stackfluence edge, stackfluence core, stackfluence load --follow.
FROM node:20-slim AS lists
COPY src src
RUN npm --prefix src/stackfluence/lists ci --ignore-scripts --omit=dev --no-audit --no-fund

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/stackfluence
WORKDIR /src
COPY requirements.lock ./
RUN /opt/stackfluence/bin/pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN apt-get update -qq && apt-get install -qq --no-install-recommends gcc libc6-dev
COPY --from=lists /src/stackfluence/lists/node_modules src/stackfluence/lists/node_modules
RUN PYTHONPATH=src /opt/stackfluence/bin/python -m stackfluence.lists.build \
    && PYTHONPATH=src /opt/stackfluence/bin/python -m stackfluence.native.build \
    && /opt/stackfluence/bin/pip install --no-deps .

FROM python:3.11-slim
# a fixed number, so that a volume keeps its owner from one image to the next
RUN useradd --system --uid 10001 --home-dir /var/lib/stackfluence --create-home stackfluence \
    && chmod 700 /var/lib/stackfluence
COPY --from=build /opt/stackfluence /opt/stackfluence
ENV PATH=/opt/stackfluence/bin:$PATH SF_DATA_DIR=/var/lib/stackfluence TZ=UTC PYTHONUNBUFFERED=1
USER stackfluence
WORKDIR /var/lib/stackfluence
VOLUME /var/lib/stackfluence
EXPOSE 8000
STOPSIGNAL SIGTERM
CMD ["stackfluence", "serve", "--host", "0.0.0.0", "--port", "8000"]
