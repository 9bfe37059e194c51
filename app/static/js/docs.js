const target = document.getElementById("reference");
window.SwaggerUIBundle({ url: target.dataset.url, domNode: target, deepLinking: true, validatorUrl: null });
