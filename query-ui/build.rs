//! Chooses the folder that is embedded as the web app: `web/dist`, or where that was not built a page that says how to build it.
//!
//! With `WEIR_REQUIRE_WEB` set a missing web app fails the build, so that no release goes out without one.

use std::path::{Path, PathBuf};
use std::{env, fs};

const HOW: &str = "run `make build`, or `npm ci && npm run build` in query-ui/web, then build weir again";

fn main() {
    println!("cargo::rerun-if-changed=web/dist");
    println!("cargo::rerun-if-env-changed=WEIR_REQUIRE_WEB");
    let dist = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("web/dist");
    // A watched folder that does not exist would make every build run anew.
    fs::create_dir_all(&dist).expect("the source folder is writable");
    let folder = if dist.join("index.html").is_file() {
        dist
    } else if env::var_os("WEIR_REQUIRE_WEB").is_some() {
        println!("cargo::error=the web app is not built: {HOW}");
        return;
    } else {
        placeholder()
    };
    println!("cargo::rustc-env=WEIR_WEB_DIST={}", folder.display());
}

fn placeholder() -> PathBuf {
    let folder = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("dist");
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>weir</title>\n\
         <h1>The web app is not in this build</h1>\n<p>To have it, {HOW}.</p>\n\
         <p>The query API works: <a href=\"/api/openapi.json\">its description</a>.</p></html>\n"
    );
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(folder.join("index.html"), page))
        .expect("OUT_DIR is writable");
    folder
}
