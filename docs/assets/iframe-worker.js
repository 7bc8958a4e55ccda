/* Lets the search work on pages opened from a folder (file://), where a browser refuses to start a Worker:
   the worker's script runs in a hidden frame instead, and messages go to and from it. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.title = "Search";
      this.loaded = new Promise((done) => this.frame.addEventListener("load", done, { once: true }));
      document.body.appendChild(this.frame);
      window.addEventListener("message", (event) => {
        if (event.source !== this.frame.contentWindow) return;
        const message = new MessageEvent("message", { data: event.data });
        this.dispatchEvent(message);
        this.onmessage?.(message);
      });
      const page = this.frame.contentDocument;
      page.open();
      page.write(
        "<!doctype html><script>" +
          "window.importScripts = (...urls) => Promise.all(urls.map((url) => new Promise((done, failed) => {" +
          "const script = document.createElement('script'); script.src = url;" +
          "script.onload = done; script.onerror = failed; document.head.appendChild(script) })));" +
          "window.postMessage = (data) => parent.dispatchEvent(" +
          "new MessageEvent('message', { data, source: window }));" +
          "</script><script src='" + url + "'></script>"
      );
      page.close();
    }
    postMessage(data) {
      this.loaded.then(() =>
        this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }))
      );
    }
    terminate() {
      this.frame.remove();
    }
  };
}
