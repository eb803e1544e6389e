// Wide pictures scroll in themselves on narrow screens: shrunk to the screen, their texts could not be read.
function keepWide(picture) {
  const readable = Math.min(0.62 * picture.naturalWidth, 700);
  if (picture.clientWidth === 0 || readable < 1.25 * picture.clientWidth) return;
  const frame = document.createElement("div");
  frame.className = "wide-picture";
  picture.replaceWith(frame);
  frame.append(picture);
  picture.style.width = `${readable}px`;
}

window.addEventListener("load", () => {
  if (window.matchMedia("(max-width: 40em)").matches) {
    document.querySelectorAll("article img").forEach(keepWide);
  }
});
