// Before anything is painted: the theme chosen here before. Without a choice the system's is followed (see the CSS).
(function () {
  "use strict";
  var KEY = "relayq-theme";
  function read() {
    try { return localStorage.getItem(KEY); } catch (error) { return null; }
  }
  function apply(theme) {
    if (theme) document.documentElement.dataset.theme = theme;
  }
  apply(read());
  document.addEventListener("DOMContentLoaded", function () {
    var button = document.getElementById("theme");
    if (!button) return;
    button.addEventListener("click", function () {
      var chosen = document.documentElement.dataset.theme;
      var dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      var next = dark ? "light" : "dark";
      apply(next);
      try { localStorage.setItem(KEY, next); } catch (error) { /* a browser that keeps nothing */ }
    });
  });
})();
