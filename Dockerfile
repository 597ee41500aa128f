# Two images: `tidemark`, and `nats` with the configuration for Tidemark. Both run without root, and write only to /data.
#
#   docker build --target tidemark -t tidemark .
#   docker build --target nats -t tidemark-nats .

FROM nats:2.15-alpine AS nats
# A new volume gets the owner of the folder that it is mounted on.
RUN mkdir /data && chown 1000:1000 /data
COPY nats.conf /etc/nats/nats.conf
USER 1000:1000
VOLUME /data
ENTRYPOINT ["nats-server", "--config", "/etc/nats/nats.conf"]
CMD []

FROM node:22-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY actors actors
COPY src src
RUN npm run build:program && npm prune --omit=dev

FROM node:22-bookworm-slim AS tidemark
ENV NODE_ENV=production TIDEMARK_DATA=/data TIDEMARK_HTTP=0.0.0.0:8080
RUN mkdir /data && chown 1000:1000 /data
WORKDIR /opt/tidemark
COPY package.json LICENSE ./
COPY --from=build /build/node_modules node_modules
COPY --from=build /build/dist dist
USER 1000:1000
VOLUME /data
EXPOSE 8080
ENTRYPOINT ["node", "--max-semi-space-size=32", "dist/src/cli.js"]
CMD ["start"]
