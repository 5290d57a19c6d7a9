"use strict";
// The page shows the description of the server it came from and nothing else:
// no query parameters, no validator service, nothing kept in the browser.
SwaggerUIBundle({
  url: "v1/api-docs",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  queryConfigEnabled: false,
  persistAuthorization: false,
  docExpansion: "list",
  defaultModelsExpandDepth: 1,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
