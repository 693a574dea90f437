// The API's reference. The token is in a cookie that no script can read: calls go through the console, which adds it.
(() => {
  const said = (name) => document.querySelector(`meta[name="${name}"]`).content;
  const base = said("fliq-base"), secret = said("fliq-secret");
  const theme = document.documentElement.dataset.theme;
  const dark = theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.classList.toggle("dark-mode", dark);
  SwaggerUIBundle({
    url: `${base}/docs/openapi.json`,
    dom_id: "#api",
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    filter: true,
    validatorUrl: null,
    supportedSubmitMethods: secret ? ["get", "put", "post", "delete", "patch", "head"] : [],
    presets: [SwaggerUIBundle.presets.apis],
    requestInterceptor: (request) => {
      const url = new URL(request.url, location.href);
      if (url.origin === location.origin && url.pathname.startsWith("/v1/")) {
        request.url = `${base}/docs/call${url.pathname}${url.search}`;
        request.headers["X-Fliq-Secret"] = secret;
      }
      return request;
    },
  });
})();
