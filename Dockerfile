# The rewards over HTTP (docs/server.md):
#     docker build --tag tag-rewards .
#     docker run --rm -p 8000:8000 tag-rewards --workers 2 --grounding-weight 0.5
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY tag_rewards tag_rewards
RUN python -m venv /opt/tag && /opt/tag/bin/pip install --no-cache-dir ".[server]"

FROM python:3.12-slim
COPY --from=build /opt/tag /opt/tag
RUN useradd --create-home --uid 1000 tag
USER tag
ENV PATH=/opt/tag/bin:$PATH
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=2)"]
STOPSIGNAL SIGTERM
# Inside a container 127.0.0.1 would be nobody's; the host decides with -p who can reach the port.
ENTRYPOINT ["tag-rewards", "serve", "--host", "0.0.0.0", "--port", "8000"]
