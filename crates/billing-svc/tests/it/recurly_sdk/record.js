// Writes down what the SDK sends; see SOURCES.md.
const recurly = require('recurly');
const fs = require('fs');
const { HttpAdapter } = require('recurly/lib/recurly/HttpAdapter');
const out = [];
class Recorder extends HttpAdapter {
  async execute (method, url, headers, body) {
    const u = new URL(url);
    out.push({ method, path: u.pathname, query: u.search, body: body ? JSON.parse(body) : null });
    return { status: 204, statusCode: 204, headers: {}, body: '' };
  }
}
const c = new recurly.Client('fake', { httpAdapter: new Recorder() });
const runs = [
  ['coupon', () => c.createCoupon({ code: 'retention-2500bp-3m-x', name: '25% off', discountType: 'percent', discountPercent: 25, duration: 'temporal', temporalAmount: 3, temporalUnit: 'month', redemptionResource: 'subscription', appliesToAllPlans: true, appliesToNonPlanCharges: false, maxRedemptions: 1 })],
  ['coupon_of_an_amount', () => c.createCoupon({ code: 'retention-500eur-once-x', name: '5.00 EUR off', discountType: 'fixed', currencies: [{ currency: 'EUR', discount: 5.25 }], duration: 'single_use', redemptionResource: 'subscription', appliesToAllPlans: true, appliesToNonPlanCharges: false, maxRedemptions: 1 })],
  ['redeem', () => c.createCouponRedemption('{account}', { couponId: '{coupon}', currency: 'EUR', subscriptionId: '{subscription}' })],
  ['remove_discount', () => c.removeSubscriptionCouponRedemption('{subscription}', '{redemption}')],
  ['pause', () => c.pauseSubscription('{subscription}', { remainingPauseCycles: 2 })],
  ['unpause', () => c.pauseSubscription('{subscription}', { remainingPauseCycles: 0 })],
  ['resume', () => c.resumeSubscription('{subscription}')],
  ['switch_now', () => c.createSubscriptionChange('{subscription}', { timeframe: 'now', planCode: 'fibre_basic', prorationSettings: { charge: 'prorated_amount', credit: 'prorated_amount' } })],
  ['switch_at_bill_date', () => c.createSubscriptionChange('{subscription}', { timeframe: 'bill_date', planCode: 'fibre_basic' })],
  ['call_off_switch', () => c.removeSubscriptionChange('{subscription}')],
  ['bill_on', () => c.updateSubscription('{subscription}', { nextBillDate: new Date('2027-01-31T00:00:00Z') })],
  ['end_trial', () => c.convertTrial('{subscription}')],
  ['credit', () => c.createLineItem('{account}', { type: 'credit', currency: 'EUR', unitAmount: 5.25, creditReasonCode: 'promotional', description: 'Retention offer', productCode: 'retention-x' })],
  ['take_credit', () => c.removeLineItem('{line_item}')],
  ['cancel', () => c.cancelSubscription('{subscription}', { body: { timeframe: 'bill_date' } })],
  ['undo_cancel', () => c.reactivateSubscription('{subscription}')],
  ['cancel_now', () => c.terminateSubscription('{subscription}', { params: { refund: 'none' } })],
  ['refund', () => c.refundInvoice('{invoice}', { type: 'amount', amount: 5.25, refundMethod: 'transaction_first', creditCustomerNotes: 'Retention offer' })],
];
(async () => {
  const made = {};
  for (const [name, run] of runs) {
    const n = out.length;
    try { await run(); } catch (e) { if (out.length === n) console.error(name, e.message) }
    made[name] = out[n];
    if (made[name]) made[name].path = decodeURIComponent(made[name].path);
  }
  fs.writeFileSync('requests.json', JSON.stringify(made, null, 2) + '\n');
})();
