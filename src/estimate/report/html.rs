//! The report as a page.
use super::Report;
/// Page.
pub fn page(_report: &Report, _name: &str) -> String {
    String::new()
}
